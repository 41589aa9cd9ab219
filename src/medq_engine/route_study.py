"""What simulated rounds of routing come to: tables and a figure of `route_trials`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from medq_engine.config import RouteParams
from medq_engine.figures import BLUE, GREY, ORANGE, VERMILION, drawing
from medq_engine.statistics import wilson

CONFIDENCE = 0.95
EDGES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
Trial = Mapping[str, float | int | bool | None]


def summed(trials: Sequence[Trial]) -> dict[str, float | int | None]:
    """A cell of the study, one assumption under one rule, in numbers.

    Returns:
        `rounds` that had an unreviewed label; of these, how many intervals `covered` the true noise
        (`coverage` with `coverage_low` and `coverage_high`, Wilson) and how many had more noise
        than the target (`above`, a share); means of the true `noise`, of the estimate less the true
        noise (`bias`), of the interval's `width`; shares of tasks that experts `read`, that took a
        label that nobody reviewed (`unreviewed`), and of labels that are the experts'
        (`expert_labels`); labels `held` back a round; share of experts' images with an untaught
        fault (`hits`), and how many different ones a round (`faults`). None without a round.
    """
    labelled = [row for row in trials if row["true"] is not None]
    covered = sum(bool(row["covered"]) for row in labelled)
    low, high = wilson(covered, len(labelled), CONFIDENCE)

    def mean(values: Sequence[float]) -> float | None:
        return float(np.mean(values)) if len(values) else None

    return {
        "rounds": len(labelled),
        "covered": covered,
        "coverage": covered / len(labelled) if labelled else None,
        "coverage_low": low,
        "coverage_high": high,
        "noise": mean([row["true"] for row in labelled]),
        "above": mean([row["above"] for row in labelled]),
        "bias": mean([row["rate"] - row["true"] for row in labelled]),
        "width": mean([row["high"] - row["low"] for row in labelled]),
        "read": mean([row["read"] / row["tasks"] for row in trials]),
        "unreviewed": mean([row["unreviewed"] / row["tasks"] for row in trials]),
        "expert_labels": mean(
            [row["experts"] / max(1, row["experts"] + row["unreviewed"]) for row in trials]
        ),
        "held": mean([row["held"] for row in trials]),
        "hits": mean([row["hits"] / max(1, row["chosen"]) for row in trials]),
        "faults": mean([row["faults"] for row in trials]),
    }


def cells_table(cells: Mapping[tuple[str, str], Mapping[str, float | int | None]]) -> str:
    """Cells by assumption and rule as a Markdown table."""
    lines = [
        "| annotators assumed | rule | rounds | interval covers | true noise | above target | bias "
        "| width | unreviewed labels, of tasks | experts, of tasks | experts, of labels |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (assumption, rule), cell in cells.items():
        covers = "-"
        if cell["rounds"]:
            bounds = f"{_percent(cell['coverage_low'])} to {_percent(cell['coverage_high'])}"
            covers = f"{cell['covered']} of {cell['rounds']} ({bounds})"
        numbers = [
            _percent(cell[name], places)
            for name, places in (
                ("noise", 1),
                ("above", 0),
                ("bias", 1),
                ("width", 1),
                ("unreviewed", 1),
                ("read", 1),
                ("expert_labels", 0),
            )
        ]
        lines.append(
            f"| {assumption} | {rule} | {cell['rounds']} | {covers} | {' | '.join(numbers)} |"
        )
    return "\n".join(lines)


def reliability_table(rows: pl.DataFrame) -> str:
    """What was said of labels and what was true (`route_trials.reliability`), as Markdown."""
    lines = [
        "| said probability of an error | labels | said, mean | wrong in truth |",
        "|---|---|---|---|",
    ]
    bins = rows.with_columns(bin=pl.Series(np.searchsorted(EDGES, rows["said"].to_numpy())))
    names = [f"to {edge:.0%}" for edge in EDGES] + [f"above {EDGES[-1]:.0%}"]
    for (place,), part in sorted(bins.group_by("bin")):
        said, wrong = part["said"].mean(), part["wrong"].mean()
        lines.append(f"| {names[place]} | {len(part)} | {said:.1%} | {wrong:.1%} |")
    return "\n".join(lines)


def page(
    cells: Mapping[tuple[str, str], Mapping[str, float | int | None]],
    labels: pl.DataFrame,
    settings: RouteParams,
    rounds: int,
    machine: str,
    figure: str,
) -> str:
    """The study as a Markdown page.

    Args:
        cells: `summed` by assumption and rule.
        labels: `route_trials.reliability` of some rounds as declared.
        settings: The route's params.
        rounds: Simulated rounds a cell.
        machine: Processor and commit.
        figure: Name of the figure beside the page.
    """
    today = datetime.now(UTC).date().isoformat()
    return f"""# Is the noise estimate right, and is the target kept?

Made by `make route-study` on {today} ({machine}). **Everything here is simulated**: drafts, readers
and the truth that they are compared with. {rounds} rounds a line, each with another part of the
pool, other drafts, readings and audits; the model's answers are those of the incumbent. No round
knows of audits of a round before. Target: at most {settings.noise_target:.0%} of the labels that
nobody reviews are wrong, with {settings.noise_confidence:.0%} confidence; experts have up to
{settings.expert_share:.0%} of the tasks, of which {settings.audit_share:.0%} are audits and
{settings.gold_share:.0%} gold tasks.

![intervals and their coverage]({figure})

{cells_table(cells)}

*interval covers*: rounds whose {settings.noise_confidence:.0%} interval of the noise holds the true
noise (Wilson interval, {CONFIDENCE:.0%}). *above target*: rounds whose true noise is above the
target. *bias*: mean of estimate less truth. Rounds in which no label went unreviewed are not in the
noise columns.

## What experts read

{experts_table(cells)}

## Is the trust model calibrated?

Labels of some rounds as declared, accepted or not: how probably each is said to be wrong,
and how many are.

{reliability_table(labels)}
"""


def experts_table(cells: Mapping[tuple[str, str], Mapping[str, float | int | None]]) -> str:
    """What experts read for a label, as Markdown."""
    lines = [
        "| annotators assumed | rule | images with an untaught fault | different ones a round "
        "| labels held back a round |",
        "|---|---|---|---|---|",
    ]
    for (assumption, rule), cell in cells.items():
        hits, faults = _percent(cell["hits"]), f"{cell['faults']:.1f}"
        lines.append(f"| {assumption} | {rule} | {hits} | {faults} | {cell['held']:.1f} |")
    return "\n".join(lines)


def _percent(value: float | None, places: int = 0) -> str:
    return "-" if value is None else f"{100 * value:.{places}f} %"


def draw(
    trials: Sequence[Trial],
    cells: Mapping[tuple[str, str], Mapping[str, float | int | None]],
    target: float,
    confidence: float,
    path: Path,
) -> None:
    """Intervals and truth of one cell's rounds, and how often intervals cover in every cell.

    Args:
        trials: Of the cell to show.
        cells: `summed` by assumption and rule.
        target: Share of wrong labels that is borne.
        confidence: Of the intervals.
        path: PNG to write.
    """
    with drawing(path, 11, 4.6) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        shown = sorted((row for row in trials if row["true"] is not None), key=lambda r: r["true"])
        for n, row in enumerate(shown):
            colour = BLUE if row["covered"] else VERMILION
            left.plot([n, n], [100 * row["low"], 100 * row["high"]], color=colour, lw=1.6)
        truth = [100 * row["true"] for row in shown]
        left.plot(range(len(shown)), truth, "o", color="black", ms=3, label="true noise")
        left.plot([], [], color=BLUE, lw=1.6, label="interval that covers it")
        left.plot([], [], color=VERMILION, lw=1.6, label="interval that misses it")
        left.axhline(100 * target, color=GREY, ls="--", lw=1.2, label=f"target {target:.0%}")
        left.set(xlabel="simulated round, by its true noise", ylim=(0, None))
        left.set(ylabel="wrong labels among the unreviewed (%)")
        left.set(title=f"{confidence:.0%} intervals of the noise, annotators as declared")
        left.grid(axis="y")

        names = list(dict.fromkeys(assumption for assumption, _ in cells))
        for (assumption, rule), cell in cells.items():
            if not cell["rounds"]:
                continue
            y = names.index(assumption) + (0.12 if rule == "paper" else -0.12)
            colour = ORANGE if rule == "paper" else BLUE
            bounds = [100 * cell["coverage_low"], 100 * cell["coverage_high"]]
            right.plot(bounds, [y, y], color=colour, lw=2)
            right.plot(100 * cell["coverage"], y, "o", color=colour, ms=6)
        for rule, colour in (("risk", BLUE), ("paper", ORANGE)):
            right.plot([], [], "o-", color=colour, label=f"rule: {rule}")
        right.axvline(100 * confidence, color=GREY, ls="--", lw=1.2, label="as promised")
        right.set_yticks(range(len(names)), names)
        right.invert_yaxis()
        right.set(xlabel="rounds whose interval covers the truth (%)", xlim=(None, 101))
        right.set(title="Does the interval keep its promise?")
        right.grid(axis="x")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=3)
        figure.suptitle("Simulated rounds: annotators, drafts and truth are simulated", fontsize=9)
