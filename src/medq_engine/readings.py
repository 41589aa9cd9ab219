"""From readings to what counts: who still has to look, who disagrees, what is settled.

A task wants one reader, or two (double annotation). Whoever answered a task twice, on purpose or
because two branches did, has made a double annotation: where the readings disagree, an adjudication
settles it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medq_engine.annotations import Reading, read_readings, verdict_said
from medq_engine.errors import MedqError

Task = Mapping[str, object]


@dataclass(frozen=True)
class Waiting:
    """Ids of tasks that wait: for a first reading, for a second reader, for an adjudication."""

    unanswered: tuple[str, ...]
    second: tuple[str, ...]
    disputed: tuple[str, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """All of them."""
        return self.unanswered + self.second + self.disputed

    def __str__(self) -> str:
        counts = {
            "without an answer": self.unanswered,
            "without a second reader": self.second,
            "in dispute, to be adjudicated": self.disputed,
        }
        return ", ".join(f"{len(ids)} {name}" for name, ids in counts.items() if ids)


@dataclass
class Pending(MedqError):  # noqa: N818 - waiting for people is no error
    """Tasks that wait for people."""

    path: Path
    waiting: Waiting
    total: int

    def __str__(self) -> str:
        ids = self.waiting.tasks
        shown = ", ".join(ids[:5]) + (" ..." if len(ids) > 5 else "")
        return (
            f"waiting for people: of {self.total} tasks in {self.path}, {self.waiting}\n"
            f"  pending: {shown}\n"
            "  `medq review` opens them (`medq simulate-expert` stands in for people in the "
            "embedded default); then run `dvc repro` again: nothing is lost."
        )


def by_task(readings: Sequence[Reading]) -> dict[str, list[Reading]]:
    """Readings by task id, those of a task in the order of their annotators' names."""
    found: dict[str, list[Reading]] = {}
    for row in sorted(readings, key=lambda row: str(row["annotator"])):
        found.setdefault(str(row["task_id"]), []).append(row)
    return found


def first_readings(readings: Sequence[Reading]) -> list[Reading]:
    """Readings of a task but for adjudications."""
    return [row for row in readings if not row["adjudicates"]]


def disagree(readings: Sequence[Reading]) -> bool:
    """Whether first readings of a task differ in answer or verdict, or only some can judge it."""
    first = first_readings(readings)
    answers = {row["answer"] for row in first}  # empty where it cannot be judged
    verdicts = {verdict_said(row) for row in first} - {""}
    return len(answers) > 1 or len(verdicts) > 1


def settled(readings: Sequence[Reading]) -> Reading | None:
    """The reading of a task that counts.

    An adjudication, else the first that has a description, else the first. None where nobody
    answered, readers disagree, or it cannot be judged.
    """
    ruled = [row for row in readings if row["adjudicates"]]
    if not ruled and disagree(readings):
        return None
    counting = sorted(ruled or readings, key=lambda row: not row["description"])
    return counting[0] if counting and not counting[0]["unjudged"] else None


def waiting(tasks: Sequence[Task], readings: Sequence[Reading]) -> Waiting:
    """What a batch still waits for, in the order of its tasks."""
    given = by_task(readings)
    unanswered, second, disputed = [], [], []
    for task in tasks:
        here = given.get(str(task["task_id"]), [])
        if any(row["adjudicates"] for row in here):
            continue
        if not here:
            unanswered.append(str(task["task_id"]))
        elif len(here) < task["readers"]:
            second.append(str(task["task_id"]))
        elif disagree(here):
            disputed.append(str(task["task_id"]))
    return Waiting(tuple(unanswered), tuple(second), tuple(disputed))


def complete(path: Path, tasks: Sequence[Task], batch: str) -> list[Reading]:
    """Every reading of a batch that waits for nobody.

    Args:
        path: The annotation file; it may not exist yet.
        tasks: The batch's tasks.
        batch: The batch's fingerprint.

    Raises:
        AnnotationError: Lines break the contract (`annotations.read_readings`).
        Pending: Tasks wait for people.
    """
    given = read_readings(path, tasks, batch)
    left = waiting(tasks, given)
    if left.tasks:
        raise Pending(path, left, len(tasks))
    return given


def tasks_for(
    annotator: str, tasks: Sequence[Task], readings: Sequence[Reading]
) -> list[tuple[Task, bool]]:
    """What an annotator can do now: tasks that want one more reader, then adjudications.

    Returns:
        Tasks in the order of the batch, each with whether it is an adjudication. Nobody reads a
        task twice; whoever is there may adjudicate, since two readers may have to agree in person.
    """
    given, left = by_task(readings), waiting(tasks, readings)
    own = {
        task_id
        for task_id, rows in given.items()
        if any(row["annotator"] == annotator for row in rows)
    }
    open_ids = {*left.unanswered, *left.second} - own
    disputed = set(left.disputed)
    return [(task, False) for task in tasks if task["task_id"] in open_ids] + [
        (task, True) for task in tasks if task["task_id"] in disputed
    ]
