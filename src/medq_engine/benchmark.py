"""The embedded benchmark: perception and description items of one split, from records with truth.

Each image is asked one question of each perception type and described once (MedQ-Bench's tasks,
arXiv 2510.01691). Yes and No are equally frequent, so that a model that ignores the image scores
chance.
"""

from collections.abc import Sequence

import numpy as np

from medq_engine.degradations import for_modality
from medq_engine.language import (
    DESCRIBE,
    NO_DEGRADATION,
    Finding,
    answer,
    describe,
    labels,
    pick_options,
    question,
    verdict_of,
)
from medq_engine.simulation import seeded
from medq_engine.vocabulary import QUESTION_TYPES, Modality, QuestionType
from medq_engine.worlds import Made

FINE_SHARE = 0.2
# With a fifth of the images fine (always "No"), this share of the others asked about their own
# fault makes Yes and No equally frequent.
ASK_PRESENT = 0.5 / (1 - FINE_SHARE)


def perception_question(
    kind: QuestionType, modality: Modality, findings: Sequence[Finding], rng: np.random.Generator
) -> tuple[str, tuple[str, ...], str, str]:
    """Question, options, answer and the attribute asked about, for an image with these findings."""
    present = findings[0].label if findings else NO_DEGRADATION
    if kind == "yes-no":
        absent = [label for label in labels(modality) if label != present]
        asked = present if findings and rng.random() < ASK_PRESENT else str(rng.choice(absent))
        text, options = question(kind, modality, asked)
        return text, options, answer(kind, findings, asked), asked
    text, options = question(kind, modality)
    if kind == "what":
        options = pick_options(modality, present, rng)
    return text, options, answer(kind, findings), present


def items_of(made: Made, split: str, seed: int) -> list[dict[str, object]]:
    """The items of one record: yes-no, what, how and a description."""
    record, findings = made.record, made.findings
    modality, image_id = record["modality"], record["image_id"]
    rng = seeded("items", seed, split, image_id)
    scopes = {d.label: d.scope for d in for_modality(modality)}
    shared = {
        "image_ids": [image_id],
        "modality": modality,
        "severity": findings[0].severity if findings else "none",
        "reference": describe(modality, findings),
        "verdict": verdict_of(findings),
        "subject_id": record["subject_id"],
        "scene_id": made.scene_id,
        "origin": record["origin"],
    }
    rows = []
    for kind in QUESTION_TYPES:
        text, options, truth, attribute = perception_question(kind, modality, findings, rng)
        rows.append(
            {
                "item_id": f"{image_id}-{kind}",
                "task": "perception",
                "question": text,
                "options": list(options),
                "answer": truth,
                "question_type": kind,
                "attribute": attribute,
                "scope": scopes.get(attribute, "general"),
                **shared,
            }
        )
    rows.append(
        {
            "item_id": f"{image_id}-description",
            "task": "description",
            "question": DESCRIBE,
            "options": [],
            "answer": "",
            "question_type": "",
            "attribute": findings[0].label if findings else NO_DEGRADATION,
            "scope": "general",
            **shared,
        }
    )
    return rows
