"""Simulated people answer a batch, in the embedded default: two readers and an adjudicator.

All see what `annotators.expert_reading` sees, each with errors of their own.
"""

from collections.abc import Mapping, Sequence

from medq_engine.annotations import Reading, reading
from medq_engine.annotators import EXPERT_NAME, expert_reading
from medq_engine.config import Expert
from medq_engine.descriptions import describe
from medq_engine.language import Finding, answer
from medq_engine.readings import disagree

SECOND_NAME = "second expert (simulated)"
ADJUDICATOR_NAME = "adjudicator (simulated)"
NAMES = (EXPERT_NAME, SECOND_NAME, ADJUDICATOR_NAME)


def read(
    task: Mapping[str, object],
    findings: Sequence[Finding],
    batch: str,
    name: str,
    expert: Expert,
    seed: int,
) -> Reading:
    """The reading of a task by the simulated person of a name."""
    modality = task["modality"]
    seen = expert_reading(task["image_id"], modality, findings, expert.accuracy, seed, name)
    return reading(
        task,
        name,
        batch,
        answer(task["question_type"], seen, task["attribute"]),
        description=describe(modality, seen),
        seconds=expert.seconds,
        adjudicates=name == ADJUDICATOR_NAME,
    )


def readings_of(
    task: Mapping[str, object],
    findings: Sequence[Finding],
    batch: str,
    expert: Expert,
    seed: int,
) -> list[Reading]:
    """All readings of a task: one or two, as it wants, and an adjudication if they disagree.

    Args:
        task: Of the batch.
        findings: The truth of its image.
        batch: The batch's fingerprint.
        expert: Declared accuracy, and seconds of every reading.
        seed: Of the errors.
    """
    made = [read(task, findings, batch, name, expert, seed) for name in NAMES[: task["readers"]]]
    if disagree(made):
        made.append(read(task, findings, batch, ADJUDICATOR_NAME, expert, seed))
    return made
