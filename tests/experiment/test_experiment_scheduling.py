import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from medq_engine.errors import MedqError
from medq_engine.experiment import scheduling
from medq_engine.experiment.plan import Step, due
from medq_engine.experiment.scheduling import Pace


def step(name: str, after: str | None = None, strategy: str = "engine", number: int = 1) -> Step:
    cell = {"strategy": strategy, "round": number} if after else {}
    return Step(name, f"key-{name}", {}, after, "base", cell, name, {}, {}, {})


BASE = step("base")
CHAINS = [
    BASE,
    step("a1", "base"),
    step("b1", "base", "flat"),
    step("a2", "a1", number=2),
    step("b2", "b1", "flat", 2),
]


def result(seconds: float = 60.0) -> dict[str, object]:
    return {"test": {"accuracy": 0.5}, "trained": 10, "seconds": {"finetune": seconds}}


def run(steps: list[Step], work: Callable[[Step], object], jobs: int = 1, **more: object):
    lines: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:

        def start(one: Step) -> "Future[object]":
            return pool.submit(work, one)

        failed = scheduling.run(steps, start, jobs, more.pop("pace", Pace()), lines.append, **more)
    return failed, lines


def test_every_step_runs_after_the_one_that_it_starts_from():
    order: list[str] = []
    failed, lines = run(CHAINS, lambda one: order.append(one.name) or result())
    assert order == ["base", "a1", "b1", "a2", "b2"]
    assert not failed
    assert [line.split()[0] for line in lines] == [f"[{n}/5]" for n in range(1, 6)]


def test_two_chains_run_side_by_side_and_one_chain_never_does():
    together = threading.Barrier(2, timeout=20)
    busy: set[str] = set()

    def work(one: Step) -> object:
        assert one.name[0] not in busy
        busy.add(one.name[0])
        if one.after:
            together.wait()  # passes only if another chain's step is running now
        busy.discard(one.name[0])
        return result()

    failed, _ = run(CHAINS, work, jobs=2)
    assert not failed


def test_a_failure_stops_its_chain_alone_and_is_reported():
    ran: list[str] = []

    def work(one: Step) -> object:
        ran.append(one.name)
        if one.name == "a1":
            raise ValueError("no label")
        return result()

    failed, lines = run(CHAINS, work)
    assert ran == ["base", "a1", "b1", "b2"]
    assert {name: str(error) for name, error in failed.items()} == {"a1": "no label"}
    assert "[2/5] a1: no label" in lines


def test_a_step_that_cannot_begin_fails_alone():
    def start(one: Step) -> "Future[object]":
        if one.name == "a1":
            raise MedqError("the pool is missing")
        done: Future[object] = Future()
        done.set_result(result())
        return done

    lines: list[str] = []
    failed = scheduling.run(CHAINS, start, 1, Pace(), lines.append)
    assert list(failed) == ["a1"]
    assert "[2/5] a1: the pool is missing" in lines
    assert lines[-1].startswith("[4/5] b2")


def test_after_the_time_is_up_nothing_begins():
    ran: list[str] = []
    failed, _ = run(CHAINS, lambda one: ran.append(one.name) or result(), stop_after=0)
    assert ran == []
    assert not failed


def test_a_line_tells_progress_accuracy_and_what_is_left():
    _, lines = run(CHAINS, lambda one: result(1800))
    # After the first cell: three are left of half an hour each.
    assert lines[1] == (
        "[2/5] a1: 50.0 % on test, 10 labels trained on, 1800 s; 0:00 h so far, about 1:30 h left"
    )
    assert lines[0].endswith("? h left")  # of no cell is it known yet
    assert lines[-1].endswith("about 0:00 h left")


def test_time_left_is_shared_by_the_jobs():
    pace = Pace()
    pace.add({"strategy": "engine", "round": 1}, result(3600))
    _, lines = run([step("a1", "x"), step("b1", "y")], lambda one: result(3600), 1, pace=pace)
    assert "about 1:00 h left" in lines[0]
    together = threading.Barrier(2, timeout=20)

    def both(one: Step) -> object:
        if one.name != "a2":
            together.wait()
        return result(3600)

    _, lines = run([step("a1", "x"), step("b1", "y"), step("a2", "a1")], both, 2, pace=pace)
    assert "about 0:30 h left" in lines[1]


@pytest.mark.parametrize(
    ("strategy", "number", "expected"),
    [("engine", 2, 30), ("other", 2, 40), ("other", 9, 30), ("engine", 0, 5)],
)
def test_what_is_most_alike_tells_the_time(strategy: str, number: int, expected: float):
    pace = Pace()
    for name, made, seconds in (("engine", 1, 10), ("engine", 2, 30), ("flat", 2, 50)):
        pace.add({"strategy": name, "round": made}, result(seconds))
    pace.add({}, result(5))
    asked = step("x", "y", strategy, number)
    if number == 0:
        asked = BASE
    assert pace.expected(asked) == expected


def names(steps: list[Step]) -> list[str]:
    return [one.name for one in steps]


def due_of(fresh: str, left: str) -> list[str]:
    return names(due(CHAINS, lambda s: s.name in fresh.split(), lambda s: s.name in left.split()))


def test_nothing_is_due_where_all_results_are_there_even_without_scratch():
    assert due_of("base a1 b1 a2 b2", "") == []


def test_a_new_round_goes_on_from_what_the_last_one_left():
    assert due_of("base a1 b1 b2", "base a1") == ["a2"]


def test_a_round_whose_past_is_gone_brings_it_back():
    assert due_of("base a1 b1 b2", "") == ["base", "a1", "a2"]
    assert due_of("base a1 b1 b2", "base") == ["a1", "a2"]


def test_all_is_due_where_nothing_is_there():
    assert due_of("", "") == ["base", "a1", "b1", "a2", "b2"]
