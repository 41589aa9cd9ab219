"""Where a model is weak: a heat map of its accuracy by modality, attribute and severity."""

from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

from medq_engine.figures import BLUE, VERMILION, drawing, label_of, nothing, ordered
from medq_engine.vocabulary import SEVERITIES

LEVELS = [severity for severity in SEVERITIES if severity != "none"]
COLUMNS = 3
FEW = 10  # items; of fewer, an accuracy says little and is put in brackets
KEY = 10  # rows that the key takes
COLOURS = LinearSegmentedColormap.from_list(
    "weak to strong", [VERMILION, "#F7F7F7", BLUE]
).with_extremes(bad="#DDDDDD")
SCALE = Normalize(0, 100)


def cells_of(items: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    """Accuracy about attributes that an image shows, by modality, attribute and severity.

    Perception questions of all types are pooled. The severity is the one that the attribute itself
    has in the image, which may show several.

    Args:
        items: Schema ITEM.
        predictions: Schema PREDICTION.

    Returns:
        Columns modality, attribute, severity, items, right; sorted by the first three.
    """
    by = ("modality", "attribute", "severity")
    return (
        items.filter(pl.col("task") == "perception")
        .select("item_id", "modality", "attribute", "findings")
        .explode("findings")
        .with_columns(severity=pl.col("findings").struct.field("severity"))
        .filter(pl.col("findings").struct.field("label") == pl.col("attribute"))
        .join(predictions.select("item_id", "correct"), on="item_id")
        .group_by(by)
        .agg(items=pl.len(), right=pl.col("correct").sum())
        .sort(by)
    )


def weak_spots(items: pl.DataFrame, predictions: pl.DataFrame, path: Path) -> None:
    """One panel a modality, one row an attribute (the weakest on top), one column a severity.

    Args:
        items: Schema ITEM.
        predictions: Schema PREDICTION of one model.
    """
    cells = cells_of(items, predictions)
    if cells.is_empty():
        return nothing("no question is about an attribute that its image shows", path)
    modalities = ordered(cells["modality"].unique())
    # One place is left for the key.
    lines = 1 + len(modalities) // COLUMNS
    longest = int(cells.group_by("modality").agg(pl.col("attribute").n_unique())["attribute"].max())
    longest = max(longest, KEY)
    with drawing(path, 10.5, lines * (0.75 + 0.25 * longest)) as figure:
        figure.get_layout_engine().set(h_pad=0.12)
        places = list(figure.subplots(lines, COLUMNS, squeeze=False).flat)
        for axes, modality in zip(places, modalities, strict=False):
            here = cells.filter(pl.col("modality") == modality)
            _panel(axes, here, longest)
            share = here["right"].sum() / here["items"].sum()
            axes.set_title(f"{label_of(modality)}: {share:.0%}")
        for axes in places[len(modalities) :]:
            axes.set_axis_off()
        key = places[len(modalities)]
        bar = key.inset_axes((0.0, 0.8, 0.9, 0.06))
        figure.colorbar(ScalarMappable(SCALE, COLOURS), cax=bar, orientation="horizontal")
        bar.set_title("accuracy (%)", fontsize=10)
        key.text(
            *(0.0, 0.62),
            f"Large: accuracy in %\nSmall: items\nIn brackets: under {FEW} items\n"
            "Grey: no item\n\nYes-no, what and how pooled,\nabout attributes that\nthe image shows",
            va="top",
        )


def _panel(axes: Axes, cells: pl.DataFrame, height: int) -> None:
    """Draw the attributes of one modality into a panel of `height` rows."""
    total = cells.group_by("attribute").agg(share=pl.col("right").sum() / pl.col("items").sum())
    attributes = total.sort("share", "attribute")["attribute"].to_list()
    grid = np.full((len(attributes), len(LEVELS)), np.nan)
    for row in cells.iter_rows(named=True):
        y, x = attributes.index(row["attribute"]), LEVELS.index(row["severity"])
        percent = grid[y, x] = 100 * row["right"] / row["items"]
        few = row["items"] < FEW
        red, green, blue, _ = COLOURS(SCALE(percent))
        colour = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else "black"
        text = f"({percent:.0f})" if few else f"{percent:.0f}"
        axes.text(x - 0.05, y, text, ha="center", va="center", color=colour)
        axes.text(x + 0.44, y, row["items"], ha="right", va="center", fontsize=6.5, color=colour)
    axes.imshow(grid, cmap=COLOURS, norm=SCALE, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(attributes)), attributes)
    axes.set_xticks(range(len(LEVELS)), LEVELS)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xticks([0.5], minor=True)
    axes.set_yticks(np.arange(len(attributes)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1.5)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylim(height - 0.5, -0.5)
