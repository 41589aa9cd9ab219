"""Simulated annotators: the only code, beside reports, that may look at the truth of the pool.

The draft annotator stands in for GPT-4o: it is right with GPT-4o's published accuracy of the
question type (MedQ-Bench, arXiv 2510.01691) and otherwise picks a wrong option. An expert reads a
whole image, rightly with a declared accuracy, and answers what follows from that reading.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from medq_engine.language import Finding, answer, labels, question
from medq_engine.simulation import seeded
from medq_engine.vocabulary import QUESTION_TYPES, Modality, QuestionType

DRAFT_NAME = "gpt-4o (simulated)"
EXPERT_NAME = "expert (simulated)"


def draft_answer(
    image_id: str, text: str, options: Sequence[str], truth: str, accuracy: float, seed: int
) -> str:
    """The truth with probability `accuracy`, otherwise one of the wrong options."""
    rng = seeded("draft", seed, image_id, text)
    if rng.random() < accuracy:
        return truth
    return str(rng.choice([option for option in options if option != truth]))


def draft_answers(
    image_id: str,
    modality: Modality,
    findings: Sequence[Finding],
    accuracy: Mapping[QuestionType, float],
    seed: int,
) -> list[dict[str, str]]:
    """The draft annotator's answer to every question that can be asked about a pool image."""
    rows = []
    for kind in QUESTION_TYPES:
        for asked in labels(modality) if kind == "yes-no" else (None,):
            text, options = question(kind, modality, asked)
            truth = answer(kind, findings, asked)
            given = draft_answer(image_id, text, options, truth, accuracy[kind], seed)
            row = {"image_id": image_id, "question": text, "answer": given}
            rows.append(row | {"annotator": DRAFT_NAME})
    return rows


def shown_by(items: pl.DataFrame) -> pl.DataFrame:
    """What the images of benchmark items (schema ITEM) show, one row an image (schema TRUTH)."""
    return (
        items.filter(pl.col("image_ids").list.len() == 1)
        .select(pl.col("image_ids").list.first().alias("image_id"), "modality", "findings")
        .unique("image_id", maintain_order=True)
    )


def expert_reading(
    image_id: str,
    modality: Modality,
    findings: Sequence[Finding],
    accuracy: float,
    seed: int,
    name: str = EXPERT_NAME,
) -> tuple[Finding, ...]:
    """What the simulated expert of a name sees: the truth, or (1 - accuracy) another reading."""
    rng = seeded(name, seed, image_id)
    if rng.random() < accuracy:
        return tuple(findings)
    readings = [(), *((Finding(a, s),) for a in labels(modality) for s in ("mild", "severe"))]
    others = [reading for reading in readings if reading != tuple(findings)]
    return others[int(rng.integers(len(others)))]


def baselines(
    items: pl.DataFrame, draft_accuracy: Mapping[str, float], expert_accuracy: float, seed: int
) -> dict[str, object]:
    """Accuracy of simulated GPT-4o and simulated expert on perception items (schema ITEM)."""
    rows = []
    for item in items.filter(pl.col("task") == "perception").iter_rows(named=True):
        image_id, kind = item["image_ids"][0], item["question_type"]
        given = draft_answer(
            image_id, item["question"], item["options"], item["answer"], draft_accuracy[kind], seed
        )
        truth = [Finding(**finding) for finding in item["findings"]]
        seen = expert_reading(image_id, item["modality"], truth, expert_accuracy, seed)
        read = answer(kind, seen, item["attribute"], item["options"])
        rows.append((kind, given == item["answer"], read == item["answer"]))
    table = pl.DataFrame(rows, schema=["question_type", "draft", "expert"], orient="row")
    return {
        name: {
            "items": len(table),
            "accuracy": table[column].mean(),
            "accuracy_by": {
                "question_type": dict(
                    table.group_by("question_type")
                    .agg(pl.col(column).mean())
                    .sort("question_type")
                    .iter_rows()
                )
            },
        }
        for name, column in (("simulated GPT-4o", "draft"), ("simulated expert", "expert"))
    }
