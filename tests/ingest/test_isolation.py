"""Order, laziness, and what happens to jobs that crash or hang."""

import logging
import os
import time
import warnings
from collections.abc import Iterator

import pytest

from medq_engine.ingest.isolation import CRASHED, HUNG, WINDOW, Lost, ordered


def work(job: int | str) -> object:
    if job == "crash":
        os._exit(11)
    if job == "hang":
        time.sleep(600)
    if job == "talk":
        logging.getLogger("decoder").critical("patient GARIBALDI")
        warnings.warn("patient GARIBALDI", stacklevel=1)
    return job, os.getpid()


def run(jobs: list[int | str], processes: int = 2, seconds: float = 60) -> list[tuple]:
    return list(ordered(work, jobs, lambda job: job != "known", processes, seconds))


@pytest.mark.parametrize("processes", [1, 3])
def test_results_come_in_the_order_of_the_jobs_from_other_processes(processes):
    done = run([*range(20), "known", 20], processes)
    assert [job for job, _ in done] == [*range(20), "known", 20]
    results = dict(done)
    assert results.pop("known") is None
    assert all(result[0] == job for job, result in results.items())
    pids = {pid for _, pid in results.values()}
    assert os.getpid() not in pids
    assert len(pids) <= processes


@pytest.mark.parametrize(("job", "lost", "seconds"), [("crash", CRASHED, 60), ("hang", HUNG, 1.0)])
def test_a_job_that_crashes_or_hangs_is_lost_and_no_other(job: str, lost: Lost, seconds: float):
    done = run([0, job, 1, job, 2, 3], seconds=seconds)
    assert [result if isinstance(result, Lost) else result[0] for _, result in done] == [
        0,
        lost,
        1,
        lost,
        2,
        3,
    ]


def test_jobs_are_drawn_as_they_are_needed():
    drawn = []

    def source() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    results = ordered(work, source(), lambda _: True, 2, 60)
    next(results)
    assert len(drawn) <= 2 * WINDOW
    results.close()


def test_what_libraries_say_of_a_file_is_not_heard(capfd):
    run(["talk"])
    assert "GARIBALDI" not in "".join(capfd.readouterr())
