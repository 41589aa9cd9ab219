"""Which readings of a batch deserve a second look before they become labels, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from medq_engine.annotations import Reading
from medq_engine.readings import Task, by_task, waiting

QUICK_SECONDS = 5.0
QUICK_SHARE = 0.2  # of the annotator's median


@dataclass(frozen=True)
class Suspect:
    """A task with what speaks against its readings, the gravest first.

    Attributes:
        task: A row of the batch.
        readings: All readings of the task.
        reasons: Pairs of annotator ("" for the task as a whole) and reason.
    """

    task: Task
    readings: tuple[Reading, ...]
    reasons: tuple[tuple[str, str], ...]


def suspects(tasks: Sequence[Task], readings: Sequence[Reading]) -> list[Suspect]:
    """Tasks with readings to look at, the gravest first.

    A task that waits for a second reader is left out: what the first one said is none of the
    second one's business yet.

    Args:
        tasks: The batch.
        readings: All of them, with their optional fields filled in.
    """
    left = waiting(tasks, readings)
    given, pace = by_task(readings), paces(readings)
    disputed, hidden = set(left.disputed), set(left.second)
    found = []
    for task in tasks:
        task_id = str(task["task_id"])
        here = [] if task_id in hidden else given.get(task_id, [])
        reasons = [(0, "", "readers disagree")] if task_id in disputed else []
        for row in here:
            annotator = str(row["annotator"])
            reasons += [
                (rank, annotator, reason)
                for rank, reason in _against(row, task, pace.get(annotator, 0.0))
            ]
        if reasons:
            reasons.sort()
            named = tuple((annotator, reason) for _, annotator, reason in reasons)
            found.append((reasons[0][0], task_id, Suspect(task, tuple(here), named)))
    return [suspect for _, _, suspect in sorted(found, key=lambda entry: entry[:2])]


def paces(readings: Sequence[Reading]) -> dict[str, float]:
    """Median seconds of a reading by annotator; 0 for one whose times were not taken."""
    seconds: dict[str, list[float]] = {}
    for row in readings:
        seconds.setdefault(str(row["annotator"]), []).append(float(row["seconds"]))
    return {annotator: median(times) for annotator, times in sorted(seconds.items())}


def _against(row: Reading, task: Mapping[str, object], pace: float) -> list[tuple[int, str]]:
    """What speaks against one reading, each with its rank."""
    reasons = []
    if row["unblinded"]:
        reasons.append((1, "opened model and draft before judging"))
    own = task["model_answer"]
    if row["answer"] and row["answer"] != own == task["draft"]:
        reasons.append((2, f"model and draft both say {own}"))
    seconds = float(row["seconds"])
    if pace and (seconds < QUICK_SECONDS or seconds < QUICK_SHARE * pace):
        reasons.append((3, f"read in {seconds:.1f} s (median {pace:.0f} s)"))
    if row["unjudged"]:
        reasons.append((4, f"cannot judge: {row['unjudged']}"))
    return reasons
