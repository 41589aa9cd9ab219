"""Figures that compare incumbent and challenger: every slice, every confusion, every bin."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Rectangle

from medq_engine.confusion import in_order
from medq_engine.figures import BLUE, GREY, ORANGE, VERMILION, drawing, label_of, ordered

ROLES = {"before": "incumbent", "after": "challenger"}
GROUPS = {
    "modality": "Modality",
    "question_type": "Question type",
    "severity": "Severity",
    "scope": "Scope of the fault",
    "origin": "Origin of the image",
}
SHADES = LinearSegmentedColormap.from_list("share of a row", ["#FFFFFF", "#9CC9E8", BLUE])
CELL = 0.25  # inches
LABELS = 1.9  # inches for the names beside a panel
HEAD = 1.9  # inches for its title and the names below it


def forest(
    gate: Mapping[str, Mapping], test: Mapping[str, Mapping], margin: float, path: Path
) -> None:
    """Differences of accuracy with their intervals, overall and of every slice, on gate and test.

    Args:
        gate, test: `gate.as_metrics`: `overall` and, for each slice, `vars(Difference)` by value.
        margin: Loss of accuracy that a modality may suffer on gate, in [0, 1].
    """
    rows: list[tuple[str, str, str]] = [("overall", "", "overall")]
    for column, title in GROUPS.items():
        values = ordered({*gate.get(column, {}), *test.get(column, {})})
        if values:
            rows.append((title, "", ""))
            rows += [(f"{label_of(value)}  ", column, value) for value in values]
    ruled = [y for y, (_, column, _) in enumerate(rows) if column == "modality"]
    with drawing(path, 12, 1.5 + 0.27 * len(rows)) as figure:
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        titles = ("Gate: decides", "Test: reported only")
        for axes, found, title in zip(panels, (gate, test), titles, strict=True):
            for y, (_, column, value) in enumerate(rows):
                row = found.get(column, {}).get(value) if column else found.get(value)
                if row:
                    _difference(axes, y, row)
            axes.axvline(0, color="black", lw=1)
            axes.set(xlabel="accuracy gained (percentage points)", title=title)
            axes.grid(axis="x")
            axes.tick_params(axis="y", length=0)
        decides = panels[0]
        for y in ruled:
            if row := gate["modality"].get(rows[y][2]):
                decides.plot(100 * row["floor"], y, "|", color="black", ms=11, mew=1.5)
        if ruled:
            allowed = {"color": VERMILION, "ls": "--", "lw": 1.5}
            ends = [ruled[0] - 0.5, ruled[-1] + 0.5]
            decides.plot(2 * [-100 * margin], ends, **allowed, label="largest loss allowed")
            decides.plot([], [], "k|", ms=11, mew=1.5, label="one-sided lower bound")
            figure.legend(*decides.get_legend_handles_labels(), loc="outside lower left", ncols=2)
        decides.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        for label, (_, _, value) in zip(decides.get_yticklabels(), rows, strict=True):
            label.set_fontweight("normal" if value else "bold")
        decides.set_ylim(len(rows) - 0.4, -0.6)


def _difference(axes: Axes, y: int, row: Mapping[str, float]) -> None:
    """One difference with its interval, and its numbers to the right of the panel."""
    value, low, high = (100 * row[name] for name in ("value", "low", "high"))
    colour = BLUE if low > 0 else VERMILION if high < 0 else GREY
    axes.plot([low, high], [y, y], color=colour, lw=4 if y == 0 else 2)
    axes.plot(value, y, "D" if y == 0 else "o", color=colour, ms=8 if y == 0 else 6)
    said = f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
    axes.text(1.02, y, said, transform=axes.get_yaxis_transform(), va="center", fontsize=9)


def confusion_matrices(counts: pl.DataFrame, folder: Path) -> dict[str, Path]:
    """What was taken for what: one picture a modality, incumbent left, challenger right.

    A row is what was there, a column what was said; numbers are questions, the shade is their share
    of the row, frames are right answers.

    Args:
        counts: `confusion.confusions`.
        folder: Made if it is not there, also where there is nothing to draw.

    Returns:
        The picture of each modality.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # What was offered and never said by anyone would be an empty row and column.
    shown = counts.filter(pl.col("before") + pl.col("after") > 0)
    made = {}
    for modality in ordered(shown["modality"].unique()):
        here = shown.filter(pl.col("modality") == modality)
        names = in_order({*here["truth"], *here["said"]})
        made[modality] = folder / f"{modality}.png"
        side = CELL * max(8, len(names))
        with drawing(made[modality], LABELS + 2 * side, HEAD + side) as figure:
            figure.set_layout_engine("compressed")
            panels = figure.subplots(1, 2)
            for axes, (column, role) in zip(panels, ROLES.items(), strict=True):
                _matrix(axes, here, names, column)
                right = here.filter(pl.col("truth") == pl.col("said"))[column].sum()
                share = right / here[column].sum()
                axes.set_title(f"{label_of(modality)}, {role}: {share:.0%} right")
            panels[0].set_ylabel("what was there")
            panels[1].set_yticklabels([])
    return made


def _matrix(axes: Axes, counts: pl.DataFrame, names: Sequence[str], column: str) -> None:
    """Draw the counts of one modality and model."""
    grid = np.zeros((len(names), len(names)), dtype=int)
    for truth, said, count in counts.select("truth", "said", column).iter_rows():
        grid[names.index(truth), names.index(said)] = count
    share = grid / np.maximum(grid.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap=SHADES, norm=Normalize(0, 1), interpolation="nearest")
    for y, x in np.argwhere(grid):
        colour = "white" if share[y, x] > 0.7 else "black"
        axes.text(x, y, grid[y, x], ha="center", va="center", fontsize=8, color=colour)
    for place in np.arange(len(names)) - 0.5:
        axes.add_patch(Rectangle((place, place), 1, 1, fill=False, ec=GREY, lw=0.8))
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8.5)
    axes.set_yticks(range(len(names)), names, fontsize=8.5)
    axes.tick_params(length=0)
    axes.set_xlabel("what was said")


def reliability_diagram(
    incumbent: Mapping[str, object], challenger: Mapping[str, object], path: Path
) -> None:
    """Accuracy by confidence of both models beside the diagonal, and how many answers a bin has.

    Args:
        incumbent, challenger: `forecasts.reliability_bins`.
    """
    with drawing(path, 7.5, 5.2) as figure:
        curve, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        curve.plot([0, 1], [0, 1], color="black", lw=1, ls="--", label="perfectly calibrated")
        looks = (
            (incumbent, "incumbent", ORANGE, "s", -1),
            (challenger, "challenger", BLUE, "o", 1),
        )
        for found, role, colour, marker, side in looks:
            bins = [row for row in found["bins"] if row["items"]]
            x, y = ([row[name] for row in bins] for name in ("confidence", "accuracy"))
            label = f"{role}: calibration error {found['ece']:.3f}"
            curve.plot(x, y, marker=marker, color=colour, lw=2, label=label)
            middle = [(row["low"] + row["high"]) / 2 + 0.018 * side for row in found["bins"]]
            below.bar(middle, [row["items"] for row in found["bins"]], 0.034, color=colour)
        curve.set(ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1))
        curve.set_title("How sure it was, and how often it was right")
        curve.grid()
        curve.legend(loc="upper left")
        below.set(xlabel="confidence in the answer given", ylabel="answers")
        below.grid(axis="y")
