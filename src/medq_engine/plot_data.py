"""Rows of the CSV files that `dvc plots show` and `dvc plots diff` draw (dvc.yaml: plots).

Each function returns rows, one dict a line; columns are the axes that dvc.yaml names.
"""

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

Rows = list[dict[str, object]]

MOST = 14
"""Names that a confusion matrix shows; the template gives a cell of 55 faults five pixels."""
OTHER = "(other)"
NO_SLICES = ("overall", "incumbent", "challenger")
"""What a compared split holds beside its slices."""


def csv(rows: Rows) -> bytes:
    """Rows as a CSV file with a header; an empty file without a row."""
    buffer = io.BytesIO()
    pl.DataFrame(rows).write_csv(buffer)
    return buffer.getvalue()


def losses(values: Sequence[float]) -> Rows:
    """Training loss by step: `step` from 1, `loss` in nats per answer token."""
    return [{"step": step, "loss": loss} for step, loss in enumerate(values, start=1)]


def reliability(bins: Iterable[Mapping[str, object]]) -> Rows:
    """Confidence against accuracy of one model, for each bin that holds an item.

    Args:
        bins: Of `forecasts.reliability_bins`.

    Returns:
        Mean `confidence`, `accuracy`, `items`.
    """
    columns = ("confidence", "accuracy", "items")
    return [{name: row[name] for name in columns} for row in bins if row["items"]]


def confusion(items: pl.DataFrame, predictions: pl.DataFrame, most: int = MOST) -> Rows:
    """What was seen for what: one row an item of type "what", for DVC's `confusion` template.

    Args:
        items: Schema ITEM.
        predictions: Schema PREDICTION.
        most: Names kept, those with the most wrong answers given or missed; the rest are one name.

    Returns:
        `actual`, `predicted`.
    """
    asked = items.filter(
        (pl.col("task") == "perception") & (pl.col("question_type") == "what")
    ).join(predictions.select("item_id", given="answer"), on="item_id", maintain_order="left")
    pairs = list(zip(asked["answer"], asked["given"], strict=True))
    wrong = Counter(name for pair in pairs if len(set(pair)) == 2 for name in pair if name)
    kept = {
        name for name, _ in sorted(wrong.items(), key=lambda entry: (-entry[1], entry[0]))[:most]
    }

    def shown(name: str) -> str:
        return name if name in kept else OTHER

    return [{"actual": shown(answer), "predicted": shown(given)} for answer, given in pairs]


def slices(compared: Mapping[str, object]) -> Rows:
    """Accuracy of every slice before and after (`gate.as_metrics` of one split).

    Returns:
        `slice`, `incumbent`, `challenger` (accuracies in [0, 1]), `gain`, `low`, `high`, `items`.
    """
    named = {"overall": compared["overall"]} | {
        f"{column.replace('_', ' ')}: {value}": difference
        for column, values in compared.items()
        if column not in NO_SLICES
        for value, difference in values.items()
    }
    return [
        {
            "slice": name,
            "incumbent": row["incumbent"],
            "challenger": row["challenger"],
            "gain": row["value"],
            "low": row["low"],
            "high": row["high"],
            "items": row["items"],
        }
        for name, row in named.items()
    ]


def spent(gate: Mapping[str, object], labels: Mapping[str, object]) -> Rows:
    """This round's point of the learning curve; `dvc plots diff` over tags draws them all.

    Args:
        gate: metrics/gate.json.
        labels: metrics/annotate_import.json.

    Returns:
        One row: `labels` and `expert_minutes` so far, test accuracy of the model `in_force` after
        the verdict, of the `challenger` and of the `base`.
    """
    since = gate["test_since_base"]
    return [
        {
            "labels": labels["total"],
            "expert_minutes": labels["expert_minutes_total"],
            "in_force": since["challenger"],
            "challenger": gate["test"]["overall"]["challenger"],
            "base": since["incumbent"],
        }
    ]
