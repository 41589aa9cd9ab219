"""What people look at of a round: the gate's figures, and the rows that DVC plots."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from medq_engine import diagrams, figures, heatmap, plot_data, tables
from medq_engine.config import Params
from pipeline import paths

BOTH = ("incumbent", "challenger")


def draw(
    params: Params,
    stages: Mapping[str, Mapping[str, object]],
    metrics: Mapping[str, object],
    items: pl.DataFrame,
    predictions: Mapping[tuple[str, str], pl.DataFrame],
    bins: Mapping[str, Mapping[str, object]],
    counts: pl.DataFrame,
) -> dict[str, Path]:
    """Draw the figures; the confusion matrices by modality.

    Args:
        params: Of the round.
        stages: Metrics of the stages before the gate.
        metrics: metrics/gate.json.
        items: Of test.
        predictions: Schema PREDICTION by role and split.
        bins: `forecasts.reliability_bins` by role.
        counts: `confusion.confusions`.
    """
    margin = params.quality_gate.margin
    diagrams.forest(metrics["gate"], metrics["test"], margin, paths.FIGURES / "forest.png")
    incumbent, challenger = (bins[role] for role in BOTH)
    diagrams.reliability_diagram(incumbent, challenger, paths.FIGURES / "reliability.png")
    figures.slice_bars(stages["evaluate"], paths.FIGURES / "slices.png")
    heatmap.weak_spots(items, predictions["base", "test"], paths.FIGURES / "weak_spots.png")
    return diagrams.confusion_matrices(counts, paths.FIGURES / "confusion")


def plot(
    stages: Mapping[str, Mapping[str, object]],
    metrics: Mapping[str, object],
    items: pl.DataFrame,
    predictions: Mapping[tuple[str, str], pl.DataFrame],
    bins: Mapping[str, Mapping[str, object]],
) -> None:
    """Write the CSV files of dvc.yaml's plots; for the arguments see `draw`."""
    points = {
        "loss": plot_data.losses(stages["finetune"]["losses"]),
        "confusion": plot_data.confusion(items, predictions["challenger", "test"]),
        "slices": plot_data.slices(metrics["test"]),
        "learning": plot_data.spent(metrics, stages["annotate_import"]),
        **{f"reliability-{role}": plot_data.reliability(bins[role]["bins"]) for role in BOTH},
    }
    for name, rows in points.items():
        tables.replace(paths.PLOTS / f"{name}.csv", plot_data.csv(rows))
