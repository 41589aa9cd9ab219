"""Seconds that a reader was active on a task, as pages report them, held against the wall clock."""

import math
from collections.abc import Callable, Hashable

from medq_engine.review.errors import ReviewError


class Stopwatch:
    """Active seconds by key, summed over returns; never more than passed since the first opening.

    A page measures (only it knows whether somebody moves the mouse) and cuts what was idle; what it
    claims beyond the wall clock is not counted.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._opened: dict[Hashable, tuple[float, float]] = {}
        self._active: dict[Hashable, float] = {}

    def open(self, key: Hashable, before: float) -> None:
        """Start, at the first opening, with the seconds that are stored already."""
        self._opened.setdefault(key, (self._clock(), before))

    def add(self, key: Hashable, seconds: object) -> float:
        """Count a page's claim; all seconds of the key, to a tenth.

        Raises:
            ReviewError: The claim is no time, or the task is not open.
        """
        number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not number or not 0 <= seconds < math.inf:
            raise ReviewError(f"seconds are {seconds!r}, not a time")
        if key not in self._opened:
            raise ReviewError("the task is not open: reload the page")
        opened, before = self._opened[key]
        passed = self._clock() - opened
        # The claim first: a whole number may be too large to be added to.
        self._active[key] = min(self._active.get(key, 0.0) + min(seconds, passed), passed)
        return round(before + self._active[key], 1)
