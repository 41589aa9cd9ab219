"""Drawing images with all cores: one process a core, one thread a process."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits
from tqdm import tqdm

T = TypeVar("T")


_make: Callable[[int], object]


def start(make: Callable[[int], object]) -> None:
    """Begin a process: hand it its work once, and keep numerical libraries to one thread."""
    global _make
    _make = make
    threadpool_limits(limits=1)


def call(index: int) -> object:
    """The process's work on one index."""
    return _make(index)


def map_indices(make: Callable[[int], T], count: int, description: str) -> list[T]:
    """`make(0) ... make(count - 1)` in order, with a progress bar; `make` must be picklable."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ProcessPoolExecutor(cores, initializer=start, initargs=(make,)) as pool:
        # Small enough that no core waits long for the last, large enough to be worth a message.
        chunk = min(32, max(1, count // (16 * cores)))
        drawn = pool.map(call, range(count), chunksize=chunk)
        return list(tqdm(drawn, total=count, desc=description, mininterval=10))
