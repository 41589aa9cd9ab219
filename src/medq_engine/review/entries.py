"""What lies before an annotator, and which of it somebody else has open."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from medq_engine.annotations import Reading
from medq_engine.batches import Batch
from medq_engine.readings import by_task, first_readings, tasks_for

HELD = 600.0
"""Seconds without a sign of life after which a task is given to somebody else."""


class Entry(NamedTuple):
    """What is read: a task, or the adjudication of its readings."""

    adjudicates: bool
    task_id: str


def own_readings(readings: Sequence[Reading], annotator: str) -> dict[Entry, Reading]:
    """What one annotator has said, by entry."""
    return {
        Entry(bool(row["adjudicates"]), str(row["task_id"])): row
        for row in readings
        if row["annotator"] == annotator
    }


class Entries:
    """The order of a batch's entries, and who has which of them open."""

    def __init__(self, batch: Batch, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""
        self._batch = batch
        self._clock = clock
        self._place = {str(task["task_id"]): place for place, task in enumerate(batch.tasks)}
        self._readers = {str(task["task_id"]): int(task["readers"]) for task in batch.tasks}
        self._held: dict[str, tuple[Entry, float]] = {}

    def hold(self, annotator: str, entry: Entry) -> None:
        """The annotator has this entry open, and no other."""
        self._held[annotator] = (entry, self._clock())

    def step(
        self, annotator: str, readings: Sequence[Reading], at: Entry | None, direction: int
    ) -> Entry | None:
        """Where an annotator goes: first tasks in the order of the batch, then adjudications.

        Args:
            annotator: Who goes; what others have open is passed over.
            readings: Of all annotators.
            at: Where they are; None at the start and at the end.
            direction: 1 forward, -1 back. Behind the last comes the first that is still open.

        Returns:
            The entry, which is held from now on; None where nothing is left to do.
        """
        doable = {
            Entry(adjudicates, str(task["task_id"]))
            for task, adjudicates in tasks_for(annotator, self._batch.tasks, readings)
        }
        free = doable - self._taken(annotator, readings)
        ways = sorted({*free, *own_readings(readings, annotator)}, key=self._order)
        to = min(free, key=self._order, default=None)
        if direction < 0:
            behind = [one for one in ways if at is None or self._order(one) < self._order(at)]
            to = behind[-1] if behind else at or to
        elif at is not None:
            to = next((one for one in ways if self._order(one) > self._order(at)), to)
        if to is None:
            self._held.pop(annotator, None)
        else:
            self.hold(annotator, to)
        return to

    def _order(self, entry: Entry) -> tuple[bool, int]:
        return entry.adjudicates, self._place[entry.task_id]

    def _taken(self, annotator: str, readings: Sequence[Reading]) -> set[Entry]:
        """Entries that others have open, as many as have a say in them."""
        alive = self._clock() - HELD
        holders: dict[Entry, set[object]] = {}
        for name, (entry, seen) in self._held.items():
            if name != annotator and seen > alive:
                holders.setdefault(entry, set()).add(name)
        given = by_task(readings)
        taken = set()
        for entry, names in holders.items():
            wanted = 1
            if not entry.adjudicates:
                wanted = self._readers[entry.task_id]
                names |= {row["annotator"] for row in first_readings(given.get(entry.task_id, ()))}
            if len(names) >= wanted:
                taken.add(entry)
        return taken
