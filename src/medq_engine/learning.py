"""Figures over rounds: what labels and expert minutes bought, and which slices changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from medq_engine.closed import Closed
from medq_engine.evaluation import SLICES
from medq_engine.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILION,
    drawing,
    label_of,
    nothing,
    ordered,
)
from medq_engine.history import points, simulated

SHOWN = 6
"""Rounds that a forest plot shows, the last ones: more rows are no longer read."""
BASELINES = {"simulated GPT-4o": ORANGE, "simulated expert": GREEN}


@dataclass(frozen=True)
class Point:
    """A model on test, and what had been spent until then.

    Attributes:
        tag: The round; empty for the base.
        labels: Accepted labels so far.
        minutes: Expert minutes so far.
        accuracy: Share of right answers.
        low, high: The accuracy that it is compared with, plus the ends of the paired interval.
    """

    tag: str
    labels: int
    minutes: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class SliceChange:
    """A slice (`modality`, `ct`; column empty for all items) with the change of each round."""

    column: str
    value: str
    rounds: tuple[tuple[Closed, Mapping[str, float]], ...]

    @property
    def name(self) -> str:
        """How the slice is printed: `question type: what`."""
        if not self.column:
            return self.value
        return f"{self.column.replace('_', ' ')}: {label_of(self.value)}"

    def at(self, closed: Closed) -> Mapping[str, float] | None:
        """The change of a round; None where it did not measure the slice."""
        return next((change for one, change in self.rounds if one is closed), None)


def _point(closed: Closed, difference: Mapping[str, float]) -> Point:
    before = difference["incumbent"]
    return Point(
        closed.tag,
        closed.labels["total"],
        closed.labels["expert_minutes_total"],
        difference["challenger"],
        before + difference["low"],
        before + difference["high"],
    )


def in_force(rounds: Sequence[Closed]) -> list[Point]:
    """The base, then the model in force after each round, its interval that of the gain over it."""
    if not rounds:
        return []
    base = rounds[0].gate["test_since_base"]["incumbent"]
    return [
        Point("", 0, 0.0, base, base, base),
        *(_point(closed, closed.gate["test_since_base"]) for closed in rounds),
    ]


def refused(rounds: Sequence[Closed]) -> list[Point]:
    """Challengers that did not pass, their interval that of the change from their incumbent."""
    return [
        _point(closed, closed.gate["test"]["overall"]) for closed in rounds if not closed.passed
    ]


def slice_changes(rounds: Sequence[Closed], split: str) -> list[SliceChange]:
    """Challenger less incumbent on a split: overall, then every slice that a round measured."""
    found = [
        SliceChange(
            "", "overall", tuple((closed, closed.gate[split]["overall"]) for closed in rounds)
        )
    ]
    for column in SLICES:
        values = {value for closed in rounds for value in closed.gate[split].get(column, ())}
        for value in ordered(values):
            measured = (
                (closed, closed.gate[split][column][value])
                for closed in rounds
                if value in closed.gate[split].get(column, ())
            )
            found.append(SliceChange(column, value, tuple(measured)))
    return found


def curve(rounds: Sequence[Closed], path: Path) -> None:
    """Accuracy on test against labels and against expert minutes, baselines as lines.

    Args:
        rounds: Rounds that stand on the same test items; the baselines are the last one's.
    """
    if not rounds:
        return nothing("no round is closed", path)
    force, others = in_force(rounds), refused(rounds)
    with drawing(path, 10, 5) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        names = {
            "labels": "accepted labels so far",
            "minutes": "expert minutes so far" + (" (simulated)" if simulated(rounds) else ""),
        }
        for axes, (spent, name) in zip(panels, names.items(), strict=True):
            _curve(axes, spent, force, others)
            lines = {"base": (force[0].accuracy, GREY)} | {
                who: (rounds[-1].baselines[who]["accuracy"], colour)
                for who, colour in BASELINES.items()
                if who in rounds[-1].baselines
            }
            for who, (accuracy, colour) in lines.items():
                said = f"{who}: {accuracy:.1%}"
                axes.axhline(100 * accuracy, color=colour, ls="--", lw=1.3, label=said)
            axes.set(xlabel=name, xlim=(0, None))
            axes.margins(x=0.08, y=0.08)
            axes.grid(axis="y")
        panels[0].set(ylabel="accuracy on test (%)")
        title = "Accuracy on test as labels and expert minutes are spent"
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=3)


def _curve(axes: Axes, spent: str, force: Sequence[Point], others: Sequence[Point]) -> None:
    """One panel: the model in force as a line, challengers that did not pass as hollow marks."""
    series = (
        (force, {"color": BLUE, "marker": "o", "label": "model in force"}),
        (others, {"color": VERMILION, "marker": "D", "ls": "", "mfc": "white"}),
    )
    for dots, style in series:
        if not dots:
            continue
        x = [getattr(dot, spent) for dot in dots]
        y = [100 * dot.accuracy for dot in dots]
        reach = [
            [100 * (dot.accuracy - dot.low) for dot in dots],
            [100 * (dot.high - dot.accuracy) for dot in dots],
        ]
        style.setdefault("label", "challenger that did not pass")
        axes.errorbar(x, y, reach, lw=2, ms=7, elinewidth=1.5, capsize=3, zorder=3, **style)
    for dot in force[1:]:
        number = dot.tag.removeprefix("round-").lstrip("0")
        at = (getattr(dot, spent), 100 * dot.low)
        axes.annotate(
            number,
            at,
            xytext=(0, -13),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )


def forest(rounds: Sequence[Closed], split: str, path: Path) -> None:
    """Change of every slice with its interval, one line for each of the last rounds."""
    if not rounds:
        return nothing("no round is closed", path)
    slices = slice_changes(rounds[-SHOWN:], split)
    lines = sum(len(one.rounds) + 1 for one in slices)
    with drawing(path, 9, 1.3 + 0.17 * lines) as figure:
        axes = figure.subplots()
        beside = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 8}
        ticks, names, y = [], [], 0.0
        for one in slices:
            ticks.append(y + (len(one.rounds) - 1) / 2)
            names.append(one.name)
            for closed, change in one.rounds:
                value, low, high = (100 * change[name] for name in ("value", "low", "high"))
                colour = BLUE if low > 0 else VERMILION if high < 0 else GREY
                axes.plot([low, high], [y, y], color=colour, lw=2)
                fill = colour if closed.passed else "white"
                axes.plot(value, y, "o", color=colour, mfc=fill, ms=5)
                axes.text(1.01, y, f"{closed.tag}   {points(change)}", **beside)
                y += 1
            axes.axhline(y, color="#E3E3E3", lw=0.8)
            y += 1
        axes.axvline(0, color="black", lw=1)
        axes.plot([], [], "o", color=GREY, label="challenger passed")
        axes.plot([], [], "o", color=GREY, mfc="white", label="did not pass")
        for colour, label in ((BLUE, "sure gain"), (VERMILION, "sure loss"), (GREY, "not sure")):
            axes.plot([], [], color=colour, lw=2, label=label)
        axes.set_yticks(ticks, names)
        axes.set(ylim=(y - 0.5, -1), xlabel="accuracy gained (percentage points)")
        axes.set(title=f"Challenger minus incumbent on {split}, with interval")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
