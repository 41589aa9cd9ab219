"""Figures of an experiment: learning curves, and differences between strategies."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from medq_engine.experiment.findings import World
from medq_engine.experiment.grid import Roles
from medq_engine.experiment.resampling import Estimate
from medq_engine.figures import BLUE, GREEN, GREY, ORANGE, VERMILION, drawing, nothing

SKY, PURPLE = "#56B4E9", "#CC79A7"  # Okabe and Ito (2008), as the others
LOOKS = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "^"), (ORANGE, "D"), (PURPLE, "v"), (SKY, "P"))
TITLES = {"labels": "labels that were trained on", "minutes": "expert minutes"}


def curves(world: World, roles: Roles, path: Path) -> None:
    """Accuracy on test against labels and against expert minutes, one line a strategy.

    All budgets of a strategy are on its line.
    """
    drawn = {roles.engine: (roles.engine,), roles.random[0]: roles.random, **roles.others}
    with drawing(path, 10, 4.8) as figure:
        panels = figure.subplots(1, len(TITLES), sharey=True)
        for axes, (axis, title) in zip(panels, TITLES.items(), strict=True):
            for (name, budgets), (colour, marker) in zip(drawn.items(), cycle(LOOKS), strict=False):
                _line(axes, world, budgets, axis, name, color=colour, marker=marker)
            base = 100 * float(world.base.mean())
            axes.axhline(base, color=GREY, ls=":", lw=1.2, label="base")
            axes.set(xscale="log", xlabel=f"{title} (log scale)")
            low, high = axes.get_xlim()
            steps = [n * 10**e for e in range(7) for n in (1, 2, 5) if low <= n * 10**e <= high]
            axes.xaxis.set_major_locator(FixedLocator(steps))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.grid()
        panels[0].set(ylabel="accuracy on test (%)")
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=min(8, len(handles[0])))
        title = f"Accuracy of each round's challenger, {world.name}; band: 95 % over seeds"
        figure.suptitle(f"{title} (simulated)", x=0.01, ha="left", fontsize=12, weight="bold")


def _line(
    axes: Axes, world: World, strategies: Sequence[str], axis: str, label: str, **look: str
) -> None:
    rows = sorted(
        (
            (float(point.spent[axis].mean()), world.accuracy(point.strategy, point.round))
            for point in world.points(strategies)
        ),
        key=lambda row: row[0],
    )
    rows = [(spent, accuracy) for spent, accuracy in rows if spent > 0]  # the scale has no 0
    if not rows:
        return
    spent = [row[0] for row in rows]
    mean, low, high = (
        100 * np.array([getattr(row[1], part) for row in rows]) for part in ("value", "low", "high")
    )
    axes.fill_between(spent, low, high, color=look["color"], alpha=0.15, lw=0)
    axes.plot(spent, mean, ms=5, lw=1.6, label=label, **look)


def forest(rows: Sequence[tuple[str, Estimate]], title: str, below: str, path: Path) -> None:
    """Differences of accuracy with their intervals, one a line.

    Args:
        rows: Name and difference.
        title: Of the figure.
        below: What the axis shows.
        path: Of the PNG.
    """
    if not rows:
        return nothing("no two strategies share a seed", path)
    with drawing(path, 7.5, 1.4 + 0.38 * len(rows)) as figure:
        axes = figure.subplots()
        for y, (_, apart) in enumerate(rows):
            colour = VERMILION if apart.high < 0 else BLUE if apart.low > 0 else GREY
            axes.plot([100 * apart.low, 100 * apart.high], [y, y], color=colour, lw=2)
            face = "white" if colour == GREY else colour
            axes.plot(100 * apart.value, y, "o", color=colour, mfc=face, ms=7)
        axes.axvline(0, color="black", lw=1)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set(xlabel=below, ylim=(len(rows) - 0.5, -0.5))
        axes.grid(axis="x")
        title = f"{title} (simulated); filled: surely not zero"
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
