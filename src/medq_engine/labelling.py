"""A routed batch and its answers become labels: no duplicates, noise and cost measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from PIL import Image

from medq_engine.config import AnnotateImport
from medq_engine.dedup import duplicates, perceptual_hashes
from medq_engine.statistics import wilson
from medq_engine.tables import LABEL, table
from medq_engine.vocabulary import DEFERRED

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Accepted:
    """All accepted labels so far (schema LABEL) and this round's metrics."""

    labels: pl.DataFrame
    metrics: dict[str, object]


def label_of(
    task: Mapping[str, object], reviewed: Mapping[str, Mapping[str, object]]
) -> dict[str, object]:
    """The label of one task: what people said, or what the unreviewed route says."""
    kept = {name: task[name] for name in LABEL if name in task}
    answer = reviewed.get(task["task_id"])
    if answer is not None:
        given = {name: answer[name] for name in ("answer", "description", "annotator", "seconds")}
        return {**kept, **given}
    by_model = task["route"] == "model"
    return {
        **kept,
        "answer": task["model_answer"] if by_model else task["draft"],
        "description": "",
        "annotator": "model" if by_model else "draft",
        "seconds": 0.0,
    }


def rate(hits: int, trials: int) -> dict[str, object]:
    """A proportion with its Wilson interval; the rate is None without a trial."""
    low, high = wilson(hits, trials, CONFIDENCE)
    return {"rate": hits / trials if trials else None, "low": low, "high": high}


def counts(column: pl.Series) -> dict[str, int]:
    """How often each value occurs, in the order of the values."""
    return dict(sorted(column.value_counts().iter_rows()))


def noise(tasks: pl.DataFrame, reviewed: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Share of wrong labels on the unreviewed routes, estimated from the audit sample.

    The audit tasks are a random sample of what nobody reviews; their unreviewed label is compared
    with the expert's answer.
    """
    audited = tasks.filter(pl.col("audit")).to_dicts()
    wrong = sum(
        reviewed[task["task_id"]]["answer"]
        != (task["model_answer"] if task["unreviewed"] == "model" else task["draft"])
        for task in audited
    )
    return {"audited": len(audited), "wrong": wrong, **rate(wrong, len(audited))}


def arm_yield(
    tasks: pl.DataFrame, reviewed: Mapping[str, Mapping[str, object]]
) -> dict[str, object]:
    """How often people corrected the model, on fetched and on random images.

    Audit tasks are left out: they were chosen at random, the others because model and draft
    disagree.
    """
    found = {}
    for arm in ("prototype", "control"):
        here = tasks.filter(pl.col("arm") == arm, pl.col("route") == "expert", ~pl.col("audit"))
        corrected = sum(
            reviewed[task]["answer"] != own
            for task, own in zip(here["task_id"], here["model_answer"], strict=True)
        )
        found[arm] = {"labels": len(here), "corrected": corrected, **rate(corrected, len(here))}
    return found


def accept(
    tasks: pl.DataFrame,
    answers: Sequence[Mapping[str, object]],
    history: pl.DataFrame,
    images: Mapping[str, Image.Image],
    settings: AnnotateImport,
) -> Accepted:
    """Add a round's labels to the history, without what repeats an earlier one.

    Args:
        tasks: All tasks of the round (schema TASK); deferred ones take no label.
        answers: What people answered, checked (`annotations.read_annotations`).
        history: Labels of the rounds before (schema LABEL).
        images: Pool images by id.
    """
    reviewed = {answer["task_id"]: answer for answer in answers}
    labelled = tasks.filter(pl.col("route") != DEFERRED)
    fresh = [label_of(task, reviewed) for task in labelled.to_dicts()]
    # People's labels first: of two duplicates the reviewed one must stay.
    fresh.sort(key=lambda label: (label["route"] != "expert", label["task_id"]))
    labels = pl.concat([history, table(fresh, LABEL)])
    hashes = perceptual_hashes([images[image_id] for image_id in labels["image_id"]])
    texts = [
        f"{q} {a} {d}" for q, a, d in labels.select("question", "answer", "description").rows()
    ]
    repeated = duplicates(hashes, texts, settings.phash_bits, settings.text_similarity)
    kept = labels[np.setdiff1d(np.arange(len(labels)), repeated).tolist()]
    now = kept.filter(pl.col("round") == tasks["round"][0]) if len(tasks) else kept[:0]
    metrics = {
        "round": len(now),
        "total": len(kept),
        "by_route": counts(now["route"]),
        "annotators": counts(now.filter(pl.col("route") == "expert")["annotator"]),
        "expert_seconds": float(now["seconds"].sum()),
        "expert_minutes_total": float(kept["seconds"].sum()) / 60,
        "deferred": len(tasks) - len(labelled),
        "dropped": {"duplicates": len(repeated)},
        "noise": noise(tasks, reviewed),
        "yield": arm_yield(tasks, reviewed),
    }
    return Accepted(kept, metrics)
