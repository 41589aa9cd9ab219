"""Work on untrusted files, in processes that may crash or hang without taking the run down.

A decoder of medical images is native code, and one corrupt file may end the process, or never end
at all. `concurrent.futures` gives the whole pool up when that happens; here the one file is lost,
its process is replaced and the others go on.
"""

import contextlib
import logging
import multiprocessing
import signal
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

from threadpoolctl import threadpool_limits

J = TypeVar("J")
R = TypeVar("R")

WINDOW = 4
"""Jobs under way or waiting for their turn, for each process: what bounds the memory."""
ORPHAN_SECONDS = 5.0
"""How often an idle process looks whether the run still lives."""


@dataclass(frozen=True)
class Lost:
    """In the place of a result: the process died of the job, or did not end in time."""

    reason: str


CRASHED = Lost("the decoder crashed")
HUNG = Lost("the decoder took too long")


@dataclass
class Place(Generic[J, R]):
    """A job in the order of its arrival, and its result once it is there."""

    job: J
    result: R | Lost | None = None
    done: bool = False


class Worker(Generic[J, R]):
    """One process and the job that it has."""

    def __init__(self, function: Callable[[J], R]) -> None:
        self.connection, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=_serve, args=(function, other), daemon=True)
        self.process.start()
        # Or the pipe would not close when the process dies, and its death would go unseen.
        other.close()
        self.place: Place[J, R] | None = None
        self.deadline = 0.0

    def begin(self, place: Place[J, R], seconds: float) -> None:
        """Hand over a job; a process that has died meanwhile loses it at once."""
        self.place, self.deadline = place, time.monotonic() + seconds
        with contextlib.suppress(OSError):
            self.connection.send(place.job)

    def finish(self, result: R | Lost) -> None:
        """Put a result in its place; the process is free."""
        self.place.result, self.place.done = result, True
        self.place = None

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def ordered(
    function: Callable[[J], R],
    jobs: Iterable[J],
    todo: Callable[[J], bool],
    processes: int,
    seconds: float,
) -> Iterator[tuple[J, R | Lost | None]]:
    """Every job with `function(job)`, in the order of `jobs`, which are drawn as they are needed.

    Args:
        function: Picklable, and called in another process; it must not raise.
        jobs: Picklable jobs, any number of them.
        todo: False for a job that needs no work: its result is None.
        processes: How many work at once.
        seconds: After which a job is given up.

    Yields:
        (job, result); the result is `Lost` if the process crashed or the time was up.
    """
    workers: list[Worker[J, R]] = [Worker(function) for _ in range(processes)]
    window: deque[Place[J, R]] = deque()
    waiting: deque[Place[J, R]] = deque()
    source = iter(jobs)
    more = True
    try:
        while more or window:
            while more and len(window) < WINDOW * processes:
                try:
                    place: Place[J, R] = Place(next(source))
                except StopIteration:
                    more = False
                    break
                window.append(place)
                if todo(place.job):
                    waiting.append(place)
                else:
                    place.done = True
            for worker in workers:
                if worker.place is None and waiting:
                    worker.begin(waiting.popleft(), seconds)
            if window and not window[0].done:
                _collect(workers, function)
            while window and window[0].done:
                place = window.popleft()
                yield place.job, place.result
    finally:
        for worker in workers:
            worker.stop()


def _collect(workers: list[Worker[J, R]], function: Callable[[J], R]) -> None:
    """Wait for a result, a death or a deadline; replace the processes that are lost."""
    busy = [worker for worker in workers if worker.place is not None]
    left = min(worker.deadline for worker in busy) - time.monotonic()
    ready = wait([worker.connection for worker in busy], timeout=max(left, 0))
    for worker in busy:
        lost = None
        if worker.connection in ready:
            try:
                worker.finish(worker.connection.recv())
            except (EOFError, OSError):
                lost = CRASHED
        elif time.monotonic() >= worker.deadline:
            lost = HUNG
        if lost:
            worker.finish(lost)
            worker.stop()
            workers[workers.index(worker)] = Worker(function)


def _serve(function: Callable[[J], R], connection: Connection) -> None:
    """A process's life: one job after another until the run ends or is gone."""
    # Ctrl-C is for the run; and what libraries say of a file may quote its header.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    threadpool_limits(limits=1)
    parent = multiprocessing.parent_process()
    with contextlib.suppress(EOFError, OSError):
        while parent is None or parent.is_alive():
            if connection.poll(ORPHAN_SECONDS):
                connection.send(function(connection.recv()))
