"""What a cell measured, as a small JSON file; the answers on test stand in it item by item.

Everything in it is simulated: faults, drafts and experts. What only the simulator's truth can tell
stands under `truth`; it is reported, and nothing in the loop sees it.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from medq_engine.degradations import DEGRADATIONS
from medq_engine.language import Finding, answer
from medq_engine.tables import write_json

Result = dict[str, object]
BY = ("kind", "severity", "modality", "question_type")
FINE, TAUGHT, UNTAUGHT = KINDS = "fine", "taught fault", "untaught fault"


def pack(correct: np.ndarray) -> str:
    """Right or wrong of every item, shape (items,), as base64 of packed bits."""
    return base64.b64encode(np.packbits(correct.astype(bool)).tobytes()).decode()


def unpack(text: str, items: int) -> np.ndarray:
    """The inverse of `pack`, bool, shape (items,)."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=items).astype(bool)


def untaught_labels(rare: Sequence[str]) -> set[str]:
    """What the faults are called that the base was not taught (params.yaml: faults.rare)."""
    return {DEGRADATIONS[name].label for name in rare}


def kind_of(findings: Sequence[Mapping[str, str]], untaught: set[str]) -> str:
    """What an image shows, as far as it matters to who was taught what."""
    if not findings:
        return FINE
    return UNTAUGHT if untaught & {finding["label"] for finding in findings} else TAUGHT


def questions(items: pl.DataFrame, untaught: set[str]) -> pl.DataFrame:
    """The perception items of a split in their order, with their `kind`."""
    asked = items.filter(pl.col("task") == "perception")
    kinds = [kind_of(findings, untaught) for findings in asked["findings"].to_list()]
    return asked.with_columns(kind=pl.Series(kinds, dtype=pl.String))


def scored(asked: pl.DataFrame, predictions: pl.DataFrame) -> Result:
    """Accuracy on the questions of a split, overall and by slice, and every item's bit.

    Args:
        asked: `questions`.
        predictions: Schema PREDICTION, one row an item.
    """
    given = predictions.select("item_id", right="correct")
    joined = asked.join(given, on="item_id", maintain_order="left")
    right = joined["right"].to_numpy()
    slices = {
        name: dict(joined.group_by(name).agg(pl.col("right").mean()).sort(name).iter_rows())
        for name in BY
    }
    return {
        "items": len(right),
        "accuracy": float(right.mean()),
        "correct": pack(right),
        "by": slices,
    }


def scenes(asked: pl.DataFrame) -> str:
    """The scene of every question as a number, on one line: what is resampled together."""
    numbers = np.unique(asked["scene_id"].to_numpy(), return_inverse=True)[1]
    return " ".join(map(str, numbers))


def kinds(asked: pl.DataFrame) -> str:
    """What the image of every question shows, a digit each: its place in KINDS."""
    return "".join(str(KINDS.index(kind)) for kind in asked["kind"])


def told_by_truth(
    labels: pl.DataFrame, truth: pl.DataFrame, number: int, untaught: set[str]
) -> Result:
    """What the simulator's truth says of the labels, for the report alone.

    Args:
        labels: Schema LABEL, all so far.
        truth: Schema TRUTH, of the pool.
        number: The round.
        untaught: Names of faults that the base was not taught.

    Returns:
        `unreviewed`: this round's labels that nobody reviewed, and how many of them are wrong.
        `experts`: labels of experts so far, and how many show a fault that the base was not taught.
    """
    shown = dict(truth.select("image_id", "findings").iter_rows())
    wrong = seen = experts = unreviewed = 0
    for label in labels.iter_rows(named=True):
        findings = shown[label["image_id"]]
        if label["route"] == "expert":
            experts += 1
            seen += kind_of(findings, untaught) == UNTAUGHT
        elif label["round"] == number:
            unreviewed += 1
            true = [Finding(**finding) for finding in findings]
            wrong += label["answer"] != answer(label["question_type"], true, label["attribute"])
    return {
        "unreviewed": {"labels": unreviewed, "wrong": wrong},
        "experts": {"labels": experts, "untaught": seen},
    }


def spent(
    labels: pl.DataFrame, route_weight: Mapping[str, float], imported: Mapping[str, object]
) -> Result:
    """Labels and costs so far.

    Args:
        labels: Schema LABEL, all so far.
        route_weight: Trust in a label by route; what has 0 is kept and not trained on.
        imported: metrics/annotate_import.json.

    Returns:
        Labels `accepted` by route and `trained` on, expert `minutes` and `money`.
    """
    accepted = dict(sorted(labels["route"].value_counts().iter_rows()))
    return {
        "accepted": accepted,
        "trained": sum(count for route, count in accepted.items() if route_weight[route]),
        "minutes": imported["expert_minutes_total"],
        "money": imported["ledger"]["total"]["money"],
    }


def read(path: Path) -> Result | None:
    """A cell's result; None if it is not there."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def fresh(path: Path, key: str) -> bool:
    """True if a file holds the result of the cell with this key."""
    found = read(path)
    return found is not None and found["key"] == key


def write(result: Result, path: Path) -> None:
    """Write a cell's result."""
    write_json({"simulated": True, **result}, path)
