"""What a file from another tool says, held against its batch: all of it comes in, or nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from medq_engine.annotations import Reading, key, line_fault, reading
from medq_engine.batches import Batch
from medq_engine.errors import MedqError

# What a description must have to be learnt from (`annotations.contradiction`).
DESCRIPTION = "There is mild blur. Overall, the quality of this image is usable."
FLAWLESS = "No degradation is visible. Overall, the quality of this image is good."
SHOWN = 20
LONGEST = 300  # characters of a fault: what was answered wrongly may be a megabyte long


class ExchangeError(MedqError):
    """A batch that cannot go out, or a file that cannot come in; the message says what to do."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with an entry of the file, and which one it is ("row 7")."""

    where: str
    what: str

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}"
        return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."


@dataclass(frozen=True)
class Said:
    """What one person says of one task, as the file has it.

    Attributes:
        where: Which entry of the file it is, in words for people.
        batch: Fingerprint of the batch that is answered.
        unjudged: Why the task cannot be judged.
    """

    where: str
    task_id: str
    batch: str
    annotator: str = ""
    answer: str = ""
    verdict: str = ""
    description: str = ""
    note: str = ""
    unjudged: str = ""
    seconds: float = 0.0

    @property
    def nothing(self) -> bool:
        """True for a task that nobody has answered yet."""
        return not (self.answer or self.verdict or self.description or self.note or self.unjudged)


@dataclass(frozen=True)
class Imported:
    """Checked readings, and how many entries of the file hold no answer yet."""

    readings: list[Reading]
    left_open: int


def present(text: str) -> str:
    """A text as it is, or nothing where it is blank."""
    return text if text.strip() else ""


def checked(batch: Batch, file: Path, found: Iterable[Said | Fault]) -> Imported:
    """The readings of a batch that a file holds.

    Args:
        batch: What is answered.
        file: Named in the message.
        found: The file's entries, with faults in the place of those that cannot be read.

    Raises:
        ExchangeError: Something is wrong; every fault is listed with the entry.
    """
    by_id = {str(task["task_id"]): task for task in batch.tasks}
    readings: dict[tuple[str, str, bool], Reading] = {}
    places: dict[tuple[str, str, bool], str] = {}
    faults: list[Fault] = []
    left_open = 0
    for said in found:
        if isinstance(said, Fault):
            faults.append(said)
        elif fault := _fault_of_task(said, by_id, batch):
            faults.append(Fault(said.where, fault))
        elif said.nothing:
            left_open += 1
        else:
            row = _reading(said, by_id[said.task_id], batch)
            fault = _fault_of_answer(said) or line_fault(row, by_id, batch.fingerprint)
            if fault is None and key(row) in readings:
                fault = f"{said.annotator!r} answers {said.task_id} already in {places[key(row)]}"
            if fault is not None:
                faults.append(Fault(said.where, fault))
            readings[key(row)] = row
            places[key(row)] = said.where
    if faults:
        more = f"\n... and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ExchangeError(
            f"{file}: {len(faults)} faulty answers, nothing was imported:\n"
            + "\n".join(map(str, faults[:SHOWN]))
            + more
        )
    return Imported(list(readings.values()), left_open)


def _fault_of_task(said: Said, by_id: Mapping[str, object], batch: Batch) -> str | None:
    if said.batch != batch.fingerprint:
        return (
            f"answers batch {said.batch!r}, but the batch of {batch.tag} is "
            f"{batch.fingerprint!r}: it is from another round, or was routed anew since"
        )
    if said.task_id not in by_id:
        return f"task {said.task_id!r} is not in the batch"
    return None


def _fault_of_answer(said: Said) -> str | None:
    if not said.annotator.strip():
        return "does not say who answered: give --annotator NAME"
    if not (said.answer or said.unjudged):
        return "has no answer: give one, or say why the image cannot be judged"
    return None


def _reading(said: Said, task: Mapping[str, object], batch: Batch) -> Reading:
    return reading(
        task,
        said.annotator.strip(),
        batch.fingerprint,
        said.answer,
        verdict=said.verdict,
        description=said.description,
        note=said.note,
        seconds=said.seconds,
        unjudged=said.unjudged,
    )
