"""Several people answer one batch through one server: what they see, what they say, undo.

Every change is on disk before it is confirmed. Only what may be lost is held in memory alone: who
has which task open, how to undo, which hints were looked at before an answer.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from threading import RLock

from medq_engine import annotations
from medq_engine.annotations import SIMULATED, Reading
from medq_engine.answer_file import AnswerFile
from medq_engine.batches import Batch
from medq_engine.language import labels
from medq_engine.readings import by_task, first_readings, tasks_for, waiting
from medq_engine.review.content import Content, compose, content_of, parse
from medq_engine.review.entries import Entries, Entry, own_readings
from medq_engine.review.errors import NotInBatchError, ReviewError
from medq_engine.review.examples import Examples
from medq_engine.review.stopwatch import Stopwatch
from medq_engine.vocabulary import MODALITY_LABELS

WINDOWED = ("ct", "mri")
"""Modalities that are read with window and level."""


@dataclass(frozen=True)
class Change:
    """What one annotator changed: the reading before (None if there was none) and after."""

    entry: Entry
    before: Reading | None
    after: Reading
    step: str


class Session:
    """A batch that is being answered; every method may be called by several threads at once."""

    def __init__(
        self,
        batch: Batch,
        examples: Mapping[str, Examples],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`examples` are those of each prototype by id; `clock` gives seconds."""
        self.batch = batch
        self._file = AnswerFile(batch)
        self._examples = examples
        self._lock = RLock()
        self._by_id = {str(task["task_id"]): task for task in batch.tasks}
        self._entries = Entries(batch, clock)
        self._stopwatch = Stopwatch(clock)
        self._changes: dict[str, list[Change]] = {}
        self._looked: set[tuple[str, Entry]] = set()

    @property
    def image_ids(self) -> set[str]:
        """The only images that a page may ask for."""
        shown = {one.image_id for some in self._examples.values() for one in some.shown}
        return shown | {str(task["image_id"]) for task in self.batch.tasks}

    def readings(self) -> list[Reading]:
        """What the file holds now."""
        with self._lock:
            return self._file.read()

    def progress(self, annotator: str) -> dict[str, object]:
        """How much one annotator has done and has before them, and what the batch waits for."""
        readings = self.readings()
        own = own_readings(readings, annotator)
        left = waiting(self.batch.tasks, readings)
        return {
            "tag": self.batch.tag,
            "done": len(own),
            "total": len(own) + len(tasks_for(annotator, self.batch.tasks, readings)),
            "seconds": sum(float(row["seconds"]) for row in own.values()),
            "tasks": len(self.batch.tasks),
            "unanswered": len(left.unanswered),
            "second": len(left.second),
            "disputed": len(left.disputed),
        }

    def step(self, annotator: str, at: Entry | None, direction: int) -> dict[str, object] | None:
        """Open what lies before (1) or behind (-1) an entry (`Entries.step`), as `open` does."""
        with self._lock:
            _check_name(annotator)
            if at is not None:
                self._task(at)
            to = self._entries.step(annotator, self.readings(), at, direction)
            return None if to is None else self.open(annotator, to)

    def open(self, annotator: str, entry: Entry) -> dict[str, object]:
        """A task as its page shows it; it is held for this annotator from now on.

        Raises:
            NotInBatchError: No such task.
            ReviewError: The name is none, or there is nothing to adjudicate.
        """
        with self._lock:
            _check_name(annotator)
            task = self._task(entry)
            readings = self.readings()
            there = own_readings(readings, annotator).get(entry)
            if entry.adjudicates and there is None:
                self._check_disputed(entry, readings)
            self._entries.hold(annotator, entry)
            self._stopwatch.open((annotator, entry), float(there["seconds"]) if there else 0.0)
            # What others said is seen only where it is to be settled.
            others = by_task(readings)[entry.task_id] if entry.adjudicates else []
            return {
                "task_id": entry.task_id,
                "adjudicates": entry.adjudicates,
                "image_id": task["image_id"],
                "modality": MODALITY_LABELS[task["modality"]],
                "windowed": task["modality"] in WINDOWED,
                "question": task["question"],
                "options": task["options"],
                # Of a yes-no question, which names it; elsewhere it would give a hint.
                "attribute": task["attribute"] if task["question_type"] == "yes-no" else "",
                "faults": labels(task["modality"]),
                "blind": task["blind"],
                "hints": self._hints(task) if self._shown(annotator, entry) else None,
                "readings": [_said(row) for row in first_readings(others)],
                **self._state(task, there),
            }

    def hints(self, annotator: str, entry: Entry) -> dict[str, object]:
        """The model's answer, the draft and the examples; of a blind task, who looked is kept."""
        with self._lock:
            task = self._task(entry)
            self._looked.add((annotator, entry))
            return self._hints(task)

    def save(
        self,
        annotator: str,
        entry: Entry,
        given: object,
        *,
        seconds: object = 0.0,
        looked: bool = False,
        step: str = "",
    ) -> dict[str, object]:
        """Write a reading; what the page shows of it now.

        Args:
            annotator: Who says it.
            entry: Of what; it must be open.
            given: All of the reading (`content.parse`).
            seconds: Active ones since the page last told.
            looked: The page shows the hints.
            step: Changes with the same name are undone together (the typing of one text).

        Raises:
            ReviewError: The reading contradicts itself or its task; the file is as it was.
            AnnotationError: The file is broken, or the batch another one.
        """
        with self._lock:
            _check_name(annotator)
            task = self._task(entry)
            total = self._stopwatch.add((annotator, entry), seconds)
            content = parse(given, task["modality"])
            if looked:
                self._looked.add((annotator, entry))
            if not content.answer and not content.unjudged:
                raise ReviewError("give the answer first, or say why it cannot be judged (c)")
            row = annotations.reading(
                task,
                annotator,
                self.batch.fingerprint,
                content.answer,
                verdict=content.verdict,
                description=compose(content, task["modality"]),
                note=content.note,
                unjudged=content.unjudged,
                seconds=total,
                adjudicates=entry.adjudicates,
            )
            fault = annotations.line_fault(row, self._by_id, self.batch.fingerprint)
            if fault:
                raise ReviewError(fault)
            before: Reading | None = None

            def edit(there: list[Reading]) -> list[Reading]:
                nonlocal before
                before = own_readings(there, annotator).get(entry)
                if entry.adjudicates and before is None:
                    self._check_disputed(entry, there)
                # Hints count where they were open before this very answer was given.
                if before is not None and before["answer"] == row["answer"]:
                    row["unblinded"] = before["unblinded"]
                else:
                    row["unblinded"] = bool(task["blind"]) and self._shown(annotator, entry)
                return annotations.merge(there, [row])

            self._file.change(edit)
            self._entries.hold(annotator, entry)
            self._remember(annotator, Change(entry, before, row, step))
            return self._state(task, row)

    def spend(self, annotator: str, entry: Entry, seconds: object) -> None:
        """Count active seconds; where the reading is stored already, they go there at once."""
        with self._lock:
            self._task(entry)
            total = self._stopwatch.add((annotator, entry), seconds)
            there = own_readings(self.readings(), annotator).get(entry)
            if there is not None and total > there["seconds"]:
                # The file may have changed since: only what still is as it was read.
                self._file.change(
                    lambda rows: [row | {"seconds": total} if row == there else row for row in rows]
                )

    def undo(self, annotator: str) -> dict[str, object]:
        """Take back an annotator's last change, and open where it was.

        Raises:
            ReviewError: There is none since the server started, or the reading was changed
                elsewhere in the meantime.
        """
        with self._lock:
            changes = self._changes.get(annotator)
            if not changes:
                raise ReviewError("nothing to undo since this server was started")
            last = changes[-1]

            def edit(there: list[Reading]) -> list[Reading]:
                now = own_readings(there, annotator).get(last.entry)
                if now is None or _timeless(now) != _timeless(last.after):
                    changes.clear()
                    raise ReviewError(
                        f"task {last.entry.task_id} was changed elsewhere since: not undone"
                    )
                if last.before is not None:
                    return annotations.merge(there, [last.before])
                return [row for row in there if row is not now]

            self._file.change(edit)
            changes.pop()
            return self.open(annotator, last.entry)

    def _remember(self, annotator: str, new: Change) -> None:
        if new.before is not None and _timeless(new.before) == _timeless(new.after):
            return
        changes = self._changes.setdefault(annotator, [])
        if new.step and changes and (changes[-1].entry, changes[-1].step) == (new.entry, new.step):
            new = Change(new.entry, changes.pop().before, new.after, new.step)
        changes.append(new)

    def _task(self, entry: Entry) -> Mapping[str, object]:
        if entry.task_id not in self._by_id:
            raise NotInBatchError(f"task {entry.task_id!r} is not in the batch {self.batch.tag}")
        return self._by_id[entry.task_id]

    def _state(self, task: Mapping[str, object], there: Reading | None) -> dict[str, object]:
        content = content_of(there, task["modality"]) if there else Content()
        return {
            "content": content.plain(),
            "description": there["description"] if there else "",
            "saved": there is not None,
        }

    def _shown(self, annotator: str, entry: Entry) -> bool:
        return not self._by_id[entry.task_id]["blind"] or (annotator, entry) in self._looked

    def _hints(self, task: Mapping[str, object]) -> dict[str, object]:
        like = self._examples.get(str(task["prototype_id"]), Examples("", ()))
        return {
            "model_answer": task["model_answer"],
            "model_probability": task["model_probability"],
            "draft": task["draft"],
            "prototype": like.name,
            # A gold task's own image may be an example of its prototype, with the truth beside it.
            "examples": [asdict(o) for o in like.shown if o.image_id != task["image_id"]],
        }

    def _check_disputed(self, entry: Entry, readings: Sequence[Reading]) -> None:
        if entry.task_id not in waiting(self.batch.tasks, readings).disputed:
            raise ReviewError(f"there is nothing to adjudicate in task {entry.task_id} (any more)")


def _said(row: Reading) -> dict[str, object]:
    names = ("annotator", "answer", "verdict", "description", "note", "unjudged")
    return {name: row[name] for name in names}


def _timeless(row: Reading) -> Reading:
    return {name: value for name, value in row.items() if name != "seconds"}


def _check_name(annotator: str) -> None:
    if not annotator.strip():
        raise ReviewError("say who you are first (w)")
    if SIMULATED in annotator:
        raise ReviewError(f"names with {SIMULATED!r} are kept for simulated annotators")
