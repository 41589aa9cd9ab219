"""Evaluating a model on benchmark items: answers, failures, calibration, descriptions.

The paper's rule draws R answers and calls an item a persistent failure when its error rate is
strictly above gamma (arXiv 2603.19863). Option probabilities are exact here, so the R draws cost
nothing and are the same in every run.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from PIL import Image

from medq_engine.confidence import recalibrated, reliability
from medq_engine.consistency import description_consistency
from medq_engine.descriptions import DESCRIBE, FIRST, SECOND
from medq_engine.judge import AXES, judge
from medq_engine.language import Finding, quality_question
from medq_engine.llm_judge import Asks, agreement, judge_all, means
from medq_engine.questions import Query, Scored
from medq_engine.simulation import seeded
from medq_engine.tables import ITEM, PREDICTION, check_schema, table

SLICES = ("question_type", "modality", "severity", "scope", "origin")
ITEMS_AT_ONCE = 1024


class Answers(Protocol):
    """A model under evaluation, on this machine or behind an endpoint."""

    def score(
        self, images: Mapping[Hashable, Image.Image], queries: Sequence[Query]
    ) -> list[Scored]:
        """The answer distribution over the options of each query."""

    def generate(
        self, images: Sequence[Image.Image], text: str, temperature: float, repeats: int
    ) -> list[list[tuple[str, float]]]:
        """For each image, `repeats` answers to an open question with their mean token NLL."""


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
    model: Answers,
    images: Mapping[str, Image.Image],
    items: pl.DataFrame,
    *,
    repeats: int,
    gamma: float,
    temperature: float,
    description_repeats: int,
    two_images: bool,
    seed: int,
    judged_by: Asks | None = None,
) -> pl.DataFrame:
    """Predictions of a model on all items (schema PREDICTION), in the order of the items.

    Args:
        model: Who answers.
        images: Pictures by image id.
        items: Schema ITEM.
        repeats, gamma: R, and the error rate above which an item is a failure.
        temperature: Of sampled answers and descriptions.
        description_repeats: Above 1: sampled descriptions an image, for their stability.
        two_images: Compare with both images in one prompt, not by what is said about each.
        seed: Of all draws.
        judged_by: A language model that judges descriptions beside the findings judge.
    """
    by_task = {task: rows.to_dicts() for (task,), rows in items.group_by("task")}
    closed = by_task.get("perception", [])
    pairs = by_task.get("comparison", [])
    asked = [query_of(item) for item in closed]
    if two_images:
        asked += [
            Query(tuple(item["image_ids"]), item["question"], (FIRST, SECOND)) for item in pairs
        ]
    else:
        asked += [
            Query((image_id,), *quality_question(item["modality"]))
            for item in pairs
            for image_id in item["image_ids"]
        ]
    scored = model.score(images, asked)
    rows: dict[str, dict[str, object]] = {}
    for item, found in zip(closed, scored, strict=False):
        rows[item["item_id"]] = answered(item, found, repeats, gamma, temperature, seed)
    levels = scored[len(closed) :]
    for n, item in enumerate(pairs):
        if two_images:
            found = levels[n]
            better = float(found.probabilities[0])
            said = [found]
        else:
            said = levels[2 * n : 2 * n + 2]
            better = first_is_better(*(found.probabilities for found in said))
        chosen = FIRST if better >= 0.5 else SECOND
        if any(map(unread, said)):
            chosen = ""
        rows[item["item_id"]] = {
            "answer": chosen,
            "correct": chosen == item["answer"],
            "probabilities": [better, 1 - better],
            "probability_of_truth": better if item["answer"] == FIRST else 1 - better,
            "unparsed": sum(found.unparsed for found in said),
        }

    opened = by_task.get("description", [])
    shown = [images[item["image_ids"][0]] for item in opened]
    greedy = model.generate(shown, DESCRIBE, 0.0, 1) if opened else []
    sampled = [[]] * len(opened)
    if description_repeats > 1 and opened:
        sampled = model.generate(shown, DESCRIBE, temperature, description_repeats)
    texts = [text for ((text, _),) in greedy]
    judged: list[dict[str, int | None]] = [{}] * len(opened)
    if judged_by and opened:
        judged = judge_all(judged_by, texts, [item["reference"] for item in opened])
    for item, ((text, nll),), draws, llm in zip(opened, greedy, sampled, judged, strict=True):
        true = [Finding(**finding) for finding in item["findings"]]
        said = [draw for draw, _ in draws]
        rows[item["item_id"]] = {
            "text": text,
            "nll": nll,
            **vars(judge(text, true, item["verdict"], item["modality"])),
            **{f"llm_{axis}": score for axis, score in llm.items()},
            "llm_unparsed": list(llm.values()).count(None) if llm else None,
            "stability": description_consistency(said, item["modality"]) if said else None,
        }
    return table(
        ({"item_id": item_id, **rows[item_id]} for item_id in items["item_id"]), PREDICTION
    )


def query_of(item: Mapping[str, object]) -> Query:
    """What a closed item (schema ITEM) asks."""
    return Query(tuple(item["image_ids"]), item["question"], tuple(item["options"]))


def unread(found: Scored) -> bool:
    """True where nothing that was said could be read: the probabilities mean nothing."""
    return found.answers is not None and found.unparsed == len(found.answers)


def answered(
    item: Mapping[str, object],
    found: Scored,
    repeats: int,
    gamma: float,
    temperature: float,
    seed: int,
) -> dict[str, object]:
    """The prediction for a perception item.

    An endpoint's draws are the R answers; where probabilities are exact, R answers are drawn from
    them. A draw that could not be read is wrong, and a model of which nothing could be read has
    given no answer.
    """
    options, probabilities = item["options"], found.probabilities
    answers = found.answers
    if answers is None:
        answers = sample_answers(
            item["item_id"], options, probabilities, repeats, temperature, seed
        )
    best = int(probabilities.argmax())
    given = "" if unread(found) else options[best]
    error_rate = float(np.mean([answer != item["answer"] for answer in answers]))
    return {
        "answer": given,
        "correct": given == item["answer"],
        "probabilities": probabilities.tolist(),
        "probability_of_truth": float(probabilities[options.index(item["answer"])]),
        "answers": list(answers),
        "error_rate": error_rate,
        "failure": error_rate > gamma,
        "unparsed": found.unparsed,
        "nll": float(found.nll[best]),
    }


def predict_file(
    model: Answers,
    images: Mapping[str, Image.Image],
    items: Path,
    predictions: Path,
    **asking: object,
) -> None:
    """Predictions on a table of items, from Parquet to Parquet, in the order of the items.

    Items pass through in chunks, those of one image together, so memory does not grow with their
    number. `asking` are the settings of `predict`.

    Raises:
        TableError: `items` breaks its contract.
    """
    check_schema(items, ITEM)
    predictions.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=predictions.parent) as folder:
        by_image, unordered = Path(folder, "items"), Path(folder, "unordered")
        done = Path(folder, "predictions")
        first_image = pl.col("image_ids").list.first()
        rows = pl.scan_parquet(items).with_row_index("row")
        rows.sort(first_image, "row").sink_parquet(by_image)
        columns = table([], PREDICTION).with_columns(row=pl.lit(0, pl.UInt32)).to_arrow().schema
        with pq.ParquetWriter(unordered, columns) as writer:
            for batch in pq.ParquetFile(by_image).iter_batches(ITEMS_AT_ONCE):
                chunk = pl.DataFrame(pl.from_arrow(batch))
                made = predict(model, images, chunk.drop("row"), **asking)
                writer.write_table(made.with_columns(chunk["row"]).to_arrow())
        pl.scan_parquet(unordered).sort("row").drop("row").sink_parquet(done)
        done.replace(predictions)


def first_is_better(first: np.ndarray, second: np.ndarray) -> float:
    """Probability that the first of two images has the better quality; a tie counts half.

    A model that takes one image at a time compares two by what it says about each.

    Args:
        first, second: Probabilities of Good, Usable and Reject, shape (3,).
    """
    joint = np.outer(first, second)
    return float(np.triu(joint, 1).sum() + np.trace(joint) / 2)


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
        "unparsed": int(closed["unparsed"].sum()),
        "calibration": reliability(
            closed["correct"].to_numpy().astype(float), closed["probabilities"].to_list()
        ),
        "description": axes | ({"overall": sum(axes.values())} if axes else {}),
        **described_otherwise(opened),
        "comparison": {
            str(kind): {"items": items, "accuracy": accuracy}
            for kind, items, accuracy in pairs.group_by("question_type")
            .agg(pl.len(), pl.col("correct").mean())
            .sort("question_type")
            .iter_rows()
        },
    }


def described_otherwise(opened: pl.DataFrame) -> dict[str, object]:
    """What is known of descriptions beside the findings judge's scores, as far as it was asked for.

    Args:
        opened: Description items with their predictions.

    Returns:
        stability: Mean semantic consistency of sampled descriptions.
        llm_judge: Its mean scores, how many it left unread, and its agreement with the findings
            judge.
    """
    found: dict[str, object] = {}
    if opened["stability"].count():
        found["stability"] = float(opened["stability"].mean())
    if opened["llm_unparsed"].count():
        ours = opened.select(AXES).to_dicts()
        theirs = opened.select(**{axis: f"llm_{axis}" for axis in AXES}).to_dicts()
        found["llm_judge"] = {
            **means(theirs),
            "agreement": agreement(
                ours, theirs, opened["scene_id"].to_list(), seeded("judges", len(opened))
            ),
        }
    return found


def recalibration(
    items: pl.DataFrame, predictions: pl.DataFrame, seed: int
) -> dict[str, object] | None:
    """What temperature and Platt scaling would mend, cross-fitted by scene (`recalibrated`).

    None where not one answer could be read.

    Args:
        items: Schema ITEM; perception items are used.
        predictions: Schema PREDICTION.
        seed: Of the division into folds.
    """
    closed = (
        items.filter(pl.col("task") == "perception")
        .join(predictions, on="item_id", suffix="_given", maintain_order="left")
        .filter(pl.col("answer_given") != "")  # what could not be read has no probabilities
    )
    if closed.is_empty():
        return None
    options = zip(closed["options"], closed["answer"], strict=True)
    truth = [listed.to_list().index(answer) for listed, answer in options]
    probabilities = closed["probabilities"].to_list()
    return recalibrated(probabilities, truth, closed["scene_id"].to_list(), seed=seed)
