"""Which tasks an expert should read: those that probably show what the model does not know.

The worth of a reading is the sum, over the possible answers, of the answer's probability times the
model's error rate on dev where the fault that the answer implies is there. The second reading of a
fault teaches less than the first, so a fault's part is divided by a power of one plus the readings
that it has been given (a greedy choice under diminishing returns; Nemhauser, Wolsey and
Fisher 1978).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from medq_engine.evidence import NOTHING, Task
from medq_engine.language import NO_DEGRADATION, Finding, answer

Fault = tuple[str, str]  # modality and label
SOME = "some fault"
"""Stands for a fault that an answer implies without naming it."""


def fault_errors(asked: pl.DataFrame) -> dict[Fault, float]:
    """The incumbent's error rate on dev, for every modality and fault that its images show.

    SOME has the error rate over all images of the modality with a fault.

    Args:
        asked: Perception items (schema ITEM) with their predictions (schema PREDICTION).
    """
    faults = [
        answer("what", [Finding(**finding) for finding in shown]) for shown in asked["findings"]
    ]
    named = asked.with_columns(fault=pl.Series(faults, dtype=pl.String))
    any_fault = named.filter(pl.col("fault") != NO_DEGRADATION).with_columns(fault=pl.lit(SOME))
    rates = (
        pl.concat([named, any_fault]).group_by("modality", "fault").agg(pl.col("error_rate").mean())
    )
    return {(modality, fault): rate for modality, fault, rate in rates.iter_rows()}


def implied(task: Task, option: str) -> Fault:
    """The fault that an answer to a task implies.

    A severity implies the fault of the prototype that fetched the image, where it has one.
    """
    modality, about = str(task["modality"]), str(task["attribute"])
    if option in NOTHING:
        return modality, NO_DEGRADATION
    if task["question_type"] == "what":
        return modality, option
    return modality, SOME if about in ("", NO_DEGRADATION) else about


def parts(
    tasks: Sequence[Task], chances: Sequence[np.ndarray], errors: Mapping[Fault, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Probability and worth of every fault in every task, shapes (tasks, faults).

    Args:
        tasks: Candidates.
        chances: Probability of each option of each task.
        errors: `fault_errors`; a fault that dev never shows counts as never known.
    """
    faults = [[implied(task, option) for option in task["options"]] for task in tasks]
    place = {fault: n for n, fault in enumerate(sorted({f for row in faults for f in row}))}
    probable = np.zeros((len(tasks), len(place)))
    for n, (row, chance) in enumerate(zip(faults, chances, strict=True)):
        np.add.at(probable[n], [place[fault] for fault in row], chance[: len(row)])
    return probable, probable * np.array([errors.get(fault, 1.0) for fault in place])


def chosen(probable: np.ndarray, worth: np.ndarray, count: int, diminishing: float) -> list[int]:
    """The tasks to read, best first: greedily, each fault worth less the more often it was chosen.

    Args:
        probable, worth: From `parts`.
        count: How many, or all where there are fewer.
        diminishing: The power; 0 values every reading of a fault alike.
    """
    left, had, found = list(range(len(worth))), np.zeros(worth.shape[1]), []
    while left and len(found) < count:
        value = (worth[left] / (1 + had) ** diminishing).sum(1)
        best = left.pop(int(value.argmax()))
        found.append(best)
        had += probable[best]
    return found
