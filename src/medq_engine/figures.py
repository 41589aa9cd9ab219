"""Figures of a round: histograms, curves, intervals.

Every function takes data and writes one PNG; the same data gives the same bytes on every run. The
colours are Okabe and Ito's (2008), which people with a colour vision deficiency can tell apart.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from medq_engine.tables import replace
from medq_engine.vocabulary import DEFERRED, MODALITIES, MODALITY_LABELS, QUESTION_TYPES, SEVERITIES

BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6B6B6B"
ROUTE_COLOURS = {"model": BLUE, "draft": ORANGE, "expert": GREEN, DEFERRED: GREY}
ORDER = (*QUESTION_TYPES, *MODALITIES, *SEVERITIES)

DPI = 110
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "legend.frameon": False,
}

WINDOW = 20


def ordered(names: Iterable[str]) -> list[str]:
    """Names of slices in the vocabulary's order, unknown ones last in the alphabet's."""
    rank = {name: position for position, name in enumerate(ORDER)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def label_of(name: str) -> str:
    """How a slice is printed: a modality by its label, everything else as it is."""
    return MODALITY_LABELS.get(name, name)


@contextmanager
def drawing(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of a size in inches, in the house style, written to `path` on leaving."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    replace(path, buffer.getvalue())


def nothing(reason: str, path: Path) -> None:
    """A figure that says why there is nothing to see."""
    with drawing(path, 6, 1.2) as figure:
        figure.text(0.5, 0.5, f"nothing to show: {reason}", ha="center", va="center", color=GREY)


def route_histogram(tasks: pl.DataFrame, tau_h: float | None, path: Path) -> None:
    """What the routes were decided by, and the tasks of each route.

    Args:
        tasks: Schema TASK.
        tau_h: The paper's threshold on H (nats per token), and H is drawn; else the probability
            that an unreviewed label would be wrong.
    """
    if tasks.is_empty():
        return nothing("no task was routed", path)
    routes = list(ROUTE_COLOURS)
    by_route = {route: tasks.filter(pl.col("route") == route) for route in routes}
    audits = int(tasks["audit"].sum())
    column, top, said = "error", 1.0, "probability that the label would be wrong if nobody read it"
    if tau_h is not None:
        column, said = "entropy", "H: uncertainty of the model's answer (nats per token)"
        top = max(tasks["entropy"].max(), tau_h, 1e-6)
    with drawing(path, 9, 3.6) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        left.hist(
            [by_route[route][column].to_numpy() for route in routes],
            bins=np.linspace(0, top, 41),
            stacked=True,
            color=list(ROUTE_COLOURS.values()),
            label=routes,
        )
        if tau_h is not None:
            left.axvline(tau_h, color="black", ls="--", lw=1.2, label=f"threshold {tau_h:.3f}")
        left.set(xlabel=said, ylabel="tasks")
        left.set(title="Sure labels are kept" if tau_h is None else "Unsure tasks keep the draft")
        left.yaxis.set_major_locator(MaxNLocator(integer=True))
        left.grid(axis="y")
        left.legend(title="route")

        counts = [len(by_route[route]) for route in routes]
        bars = right.barh(routes, counts, color=list(ROUTE_COLOURS.values()))
        right.bar_label(bars, [f"{n} ({n / len(tasks):.0%})" for n in counts], padding=4)
        right.barh(
            "expert",
            audits,
            left=len(by_route["expert"]) - audits,
            color="white",
            ec=ROUTE_COLOURS["expert"],
            hatch="////",
            label=f"{audits} audits of unreviewed labels",
        )
        right.set(xlim=(0, 1.35 * max(counts)), xlabel="tasks", title="Who labels them")
        right.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        right.invert_yaxis()
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower right")


def learning_curve(losses: Sequence[float], path: Path) -> None:
    """Training loss of every step (nats per answer token), and its running mean."""
    if not losses:
        return nothing("no training step was made", path)
    steps = np.arange(1, len(losses) + 1)
    window = min(WINDOW, len(losses))
    smooth = np.convolve(losses, np.full(window, 1 / window), mode="valid")
    with drawing(path, 7, 3.4) as figure:
        axes = figure.subplots()
        axes.plot(steps, losses, color=BLUE, alpha=0.3, lw=1, label="each step")
        centred = steps[window // 2 :][: len(smooth)]
        axes.plot(centred, smooth, color=BLUE, lw=2, label=f"mean of {window} steps")
        axes.set(xlabel="training step", ylabel="loss (nats per answer token)", ylim=(0, None))
        axes.set(title=f"Loss over {len(losses)} steps: {smooth[0]:.2f} to {smooth[-1]:.2f}")
        axes.grid(axis="y")
        axes.legend()


def slice_bars(evaluation: Mapping[str, object], path: Path) -> None:
    """Accuracy by question type, modality and severity (`evaluation.summary`)."""
    titles = {"question_type": "by question", "modality": "by modality", "severity": "by severity"}
    found = evaluation.get("accuracy_by", {})
    slices = {column: found[column] for column in titles if found.get(column)}
    if not slices:
        return nothing("no item was evaluated", path)
    overall = 100 * evaluation["accuracy"]
    with drawing(path, 9, 2.9) as figure:
        panels = figure.subplots(1, len(slices), squeeze=False)[0]
        for axes, (column, values) in zip(panels, slices.items(), strict=True):
            heights = [100 * values[name] for name in ordered(values)]
            bars = axes.barh([label_of(name) for name in ordered(values)], heights, color=BLUE)
            axes.bar_label(
                bars, fmt="%.0f", padding=2, bbox={"fc": "white", "ec": "none", "pad": 1}
            )
            axes.axvline(overall, color="black", ls="--", lw=1)
            axes.set(xlim=(0, 112), xticks=range(0, 101, 25))
            axes.set(xlabel="accuracy (%)", title=titles[column])
            axes.invert_yaxis()
        title = f"Accuracy on {evaluation['items']} items; dashed: {overall:.1f}% overall"
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")


def blind_baselines(found: Mapping[str, object], path: Path) -> None:
    """Accuracy of baselines that never see an image, with intervals, beside chance.

    Args:
        found: `blind.measure`.
    """
    panels = {
        "test": "test, learnt from the other splits",
        "cross_validation": "every split, learnt from the others",
    }
    panels = {how: title for how, title in panels.items() if found.get(how)}
    if not panels:
        return nothing("no blind baseline was measured", path)
    kinds = list(dict.fromkeys(kind for how in panels for kind in found[how]))
    baselines = {
        "answer_only": (VERMILION, "answers only"),
        "question_only": (BLUE, "question only"),
    }
    with drawing(path, 9, 1.9 + 0.55 * len(kinds)) as figure:
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for here, (how, title) in zip(axes, panels.items(), strict=True):
            beside = {"transform": here.get_yaxis_transform(), "va": "center", "fontsize": 8}
            for y, kind in enumerate(kinds):
                row = found[how].get(kind)
                if row is None:
                    continue
                here.text(0.01, y, f"{row['items']} items", color=GREY, **beside)
                here.plot(2 * [100 * row["chance"]], [y - 0.4, y + 0.4], color="black", lw=1.5)
                for shift, (name, (colour, _)) in zip(
                    (-0.17, 0.17), baselines.items(), strict=True
                ):
                    accuracy, over = row[name]["accuracy"], row[name]["over_chance"]
                    interval = [100 * accuracy["low"], 100 * accuracy["high"]]
                    here.plot(interval, 2 * [y + shift], color=colour, lw=2)
                    here.plot(100 * accuracy["value"], y + shift, "o", color=colour, ms=6)
                    weight = "bold" if over["low"] > 0 else "normal"
                    gain = f"{100 * over['value']:+.1f}"
                    here.text(
                        0.99, y + shift, gain, color=colour, ha="right", weight=weight, **beside
                    )
            here.set(xlim=(0, 100), xlabel="accuracy (%)", title=title)
            here.grid(axis="x")
        axes[0].set_yticks(range(len(kinds)), kinds)
        axes[0].set_ylim(len(kinds) - 0.4, -0.6)
        for colour, label in baselines.values():
            axes[0].plot([], [], "o-", color=colour, label=label)
        axes[0].plot([], [], color="black", lw=1.5, label="chance")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        title = "Guessing without the image; right: points over chance, bold if surely above it"
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
