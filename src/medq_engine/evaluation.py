"""Evaluating a model on benchmark items: answers, failures, calibration, descriptions.

The paper's rule draws R answers and calls an item a persistent failure when its error rate is
strictly above gamma (arXiv 2603.19863). Option probabilities are exact here, so the R draws cost
nothing and are the same in every run.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

from medq_engine import mllm as llm
from medq_engine.descriptions import DESCRIBE, FIRST, SECOND
from medq_engine.judge import AXES, judge
from medq_engine.language import Finding, quality_question
from medq_engine.simulation import from_png, seeded
from medq_engine.tables import PREDICTION, table

SLICES = ("question_type", "modality", "severity", "scope", "origin")


def sample_answers(
    item_id: str,
    options: list[str],
    probabilities: np.ndarray,
    repeats: int,
    temperature: float,
    seed: int,
) -> list[str]:
    """R answers drawn from the option probabilities at a temperature, seeded by item."""
    logits = np.log(np.maximum(probabilities, 1e-300)) / temperature
    weights = np.exp(logits - logits.max())
    rng = seeded("answers", seed, item_id)
    drawn = rng.choice(len(options), size=repeats, p=weights / weights.sum())
    return [options[int(index)] for index in drawn]


def predict(
    mllm: llm.Mllm,
    records: pl.DataFrame,
    items: pl.DataFrame,
    *,
    repeats: int,
    gamma: float,
    temperature: float,
    seed: int,
    images_per_batch: int,
    max_new_tokens: int,
) -> pl.DataFrame:
    """Predictions of a model on all items (schema PREDICTION), in the order of the items."""
    position = {image_id: i for i, image_id in enumerate(records["image_id"])}
    images = [from_png(image["bytes"]) for image in records["image"]]
    rows: dict[str, dict[str, object]] = {}

    closed = items.filter(pl.col("task") == "perception").to_dicts()
    queries = [
        llm.Query(position[item["image_ids"][0]], item["question"], tuple(item["options"]))
        for item in closed
    ]
    scored = llm.score(mllm, images, queries, images_per_batch)
    for item, result in zip(closed, scored, strict=True):
        options, probabilities = item["options"], result.probabilities
        best = int(probabilities.argmax())
        answers = sample_answers(
            item["item_id"], options, probabilities, repeats, temperature, seed
        )
        error_rate = float(np.mean([given != item["answer"] for given in answers]))
        rows[item["item_id"]] = {
            "answer": options[best],
            "correct": options[best] == item["answer"],
            "probabilities": probabilities.tolist(),
            "probability_of_truth": float(probabilities[options.index(item["answer"])]),
            "answers": answers,
            "error_rate": error_rate,
            "failure": error_rate > gamma,
            "nll": float(result.nll[best]),
        }

    opened = items.filter(pl.col("task") == "description").to_dicts()
    if opened:
        shown = [images[position[item["image_ids"][0]]] for item in opened]
        texts = llm.generate(mllm, shown, DESCRIBE, max_new_tokens, images_per_batch)
        for item, (text, nll) in zip(opened, texts, strict=True):
            true = [Finding(**finding) for finding in item["findings"]]
            scores = judge(text, true, item["verdict"], item["modality"])
            rows[item["item_id"]] = {"text": text, "nll": nll, **vars(scores)}

    pairs = items.filter(pl.col("task") == "comparison").to_dicts()
    queries = [
        llm.Query(position[image_id], *quality_question(item["modality"]))
        for item in pairs
        for image_id in item["image_ids"]
    ]
    levels = llm.score(mllm, images, queries, images_per_batch)
    for item, first, second in zip(pairs, levels[::2], levels[1::2], strict=True):
        better = first_is_better(first.probabilities, second.probabilities)
        chosen = FIRST if better >= 0.5 else SECOND
        rows[item["item_id"]] = {
            "answer": chosen,
            "correct": chosen == item["answer"],
            "probabilities": [better, 1 - better],
            "probability_of_truth": better if item["answer"] == FIRST else 1 - better,
        }
    return table(
        ({"item_id": item_id, **rows[item_id]} for item_id in items["item_id"]), PREDICTION
    )


def first_is_better(first: np.ndarray, second: np.ndarray) -> float:
    """Probability that the first of two images has the better quality; a tie counts half.

    A model that takes one image at a time compares two by what it says about each.

    Args:
        first, second: Probabilities of Good, Usable and Reject, shape (3,).
    """
    joint = np.outer(first, second)
    return float(np.triu(joint, 1).sum() + np.trace(joint) / 2)


def calibration(correct: np.ndarray, probabilities: list[list[float]]) -> dict[str, float | None]:
    """How far confidence can be trusted.

    Returns:
        ece: Expected calibration error of the top option, 10 equal bins.
        brier: Mean squared error of the top option's probability as a forecast of correctness.
        auroc: That probability as a ranking of right over wrong (None when all are the same).
        shift: MedQ-Deg's calibration shift (arXiv 2603.07769): mean of 1 - H / log K less accuracy.
    """
    top = np.array([max(p) for p in probabilities])
    bins = np.minimum((top * 10).astype(int), 9)
    ece = sum(
        (bins == b).mean() * abs(top[bins == b].mean() - correct[bins == b].mean())
        for b in np.unique(bins)
    )
    certainty = [1 + sum(q * np.log(q) for q in p if q > 0) / np.log(len(p)) for p in probabilities]
    both = 0 < correct.mean() < 1
    return {
        "ece": float(ece),
        "brier": float(np.mean((top - correct) ** 2)),
        "auroc": float(roc_auc_score(correct, top)) if both else None,
        "shift": float(np.mean(certainty) - correct.mean()),
    }


def summary(items: pl.DataFrame, predictions: pl.DataFrame) -> dict[str, object]:
    """Metrics of a set of predictions: accuracy overall and by slice, descriptions, calibration."""
    joined = items.join(predictions, on="item_id", suffix="_given", maintain_order="left")
    closed = joined.filter(pl.col("task") == "perception")
    opened = joined.filter(pl.col("task") == "description")
    slices: Mapping[str, dict[str, float]] = {
        column: {
            str(name): float(value)
            for name, value in closed.group_by(column)
            .agg(pl.col("correct").mean())
            .sort(column)
            .iter_rows()
        }
        for column in SLICES
    }
    axes = {axis: float(opened[axis].mean()) for axis in AXES} if len(opened) else {}
    pairs = joined.filter(pl.col("task") == "comparison")
    return {
        "items": len(closed),
        "accuracy": float(closed["correct"].mean()),
        "failures": int(closed["failure"].sum()),
        "accuracy_by": slices,
        "calibration": calibration(
            closed["correct"].to_numpy().astype(float), closed["probabilities"].to_list()
        ),
        "description": axes | ({"overall": sum(axes.values())} if axes else {}),
        "comparison": {
            str(kind): {"items": items, "accuracy": accuracy}
            for kind, items, accuracy in pairs.group_by("question_type")
            .agg(pl.len(), pl.col("correct").mean())
            .sort("question_type")
            .iter_rows()
        },
    }
