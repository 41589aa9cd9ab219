"""Drawing images with all cores: one process a core, one thread a process."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits
from tqdm import tqdm

T = TypeVar("T")


def one_thread() -> None:
    """Keep numerical libraries from starting a thread per core in every process."""
    threadpool_limits(limits=1)


def map_indices(make: Callable[[int], T], count: int, description: str) -> list[T]:
    """`make(0) ... make(count - 1)` in order, with a progress bar; `make` must be picklable."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ProcessPoolExecutor(cores, initializer=one_thread) as pool:
        drawn = pool.map(make, range(count), chunksize=64)
        return list(tqdm(drawn, total=count, desc=description, mininterval=10))
