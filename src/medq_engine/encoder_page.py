"""docs/results/retrieval.md: the comparison of encoders as a page and a figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medq_engine.encoder_report import QUERIES, Found, Task, interval
from medq_engine.figures import BLUE, GREY, ORANGE, VERMILION, drawing, label_of
from medq_engine.markdown import table

TARGET = 8.0
"""Precision at 50 over base rate that the search is built for."""
PAGE = """\
# Retrieval that sees quality

Made by `make encoder-study` on {made}. **Simulated truth**: faults
are put into the images, and the oracle that counts the hits serves this report only.

For each of {tasks} faults that the base was not taught (counted once a modality), the pool images
of the modality are ranked by what dev shows of the fault: {fewest} to {most} labelled images. A hit
is a pool image with the fault; the base rate is {rate:.1%} on average, so a perfect search has a
lift of {ceiling:.0f} at k = 50. Intervals are 95 % bootstraps over faults. What the encoder looks
at and how it is whitened were chosen on such reports, at the seed of `params.yaml`: another seed is
the fairer test.

- *one image*: every dev image of the fault by itself, as a prototype with a single failure would;
  *medoid*: the one nearest to the others; *mean*: of them all; *contrast*: their mean less that of
  the other dev images of the modality (`src/medq_engine/anchors.py`).
- *scaled*: features centred on the modality and scaled; *whitened by all*: also weighed by the
  inverse of their shrunk correlation in the pool; *whitened*: in the usual part of the pool,
  without what stands out (`src/medq_engine/encoders.py`).
- *contrastive head*: learnt on phantoms with the taught faults, which are made and so known
  (`src/medq_engine/models/contrastive.py`).
- *any untaught*: share of the contrast's top 50 with any fault that the base was not taught.

Precision over base rate:

{table}

![What each encoder finds, and what the best one finds of each fault](retrieval.png)

**{best}, whitened, by contrast** finds {found} of {tasks} faults at {target:.0f} x the base rate or
better. Below that: {missed}.
"""


def markdown(rows: Sequence[Found], seed: int) -> str:
    """The comparison as a table: lift by query, the interval of the last."""
    head = [
        "encoder",
        "features",
        "space",
        *(f"{query}, k = 50" for query in QUERIES[:-1]),
        f"{QUERIES[-1]}, k = 20",
        f"{QUERIES[-1]}, k = 50 (95 %)",
        "any untaught",
    ]
    cells = []
    for row in rows:
        value, low, high = interval(row.lift["contrast", 50], np.random.default_rng(seed))
        cells.append(
            [
                row.encoder,
                row.features,
                row.space,
                *(f"{row.lift[query, 50].mean():.1f}" for query in QUERIES[:-1]),
                f"{row.lift['contrast', 20].mean():.1f}",
                f"{value:.1f} ({low:.1f} to {high:.1f})",
                f"{row.untaught.mean():.0%}",
            ]
        )
    return table(head, cells)


def draw(rows: Sequence[Found], best: Found, asked: Sequence[Task], seed: int, path: Path) -> None:
    """Left, lift of every encoder by query; right, of `best` for every fault."""
    with drawing(path, 11, 8) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        for colour, query, marker in ((ORANGE, "one image", "s"), (BLUE, "contrast", "o")):
            for y, row in enumerate(rows):
                value, low, high = interval(row.lift[query, 50], np.random.default_rng(seed))
                left.plot([low, high], [y, y], color=colour, lw=2)
                left.plot(value, y, marker, color=colour, label=None if y else query)
        left.axvline(TARGET, color="black", ls="--", lw=1, label=f"target, {TARGET:.0f} x")
        left.set_yticks(range(len(rows)), [f"{row.encoder}, {row.space}" for row in rows])
        left.set(xlim=(0, None), xlabel="precision at 50 over base rate (simulated truth)")
        left.set(title="Encoders, mean over faults with 95 % interval")
        left.grid(axis="x")
        left.invert_yaxis()
        left.legend(loc="upper right")

        values = best.lift["contrast", 50]
        order = np.argsort(values, kind="stable")
        colours = [VERMILION if values[i] < TARGET else BLUE for i in order]
        right.barh(range(len(order)), values[order], color=colours)
        ceilings = [asked[i].ceiling(50) for i in order]
        right.plot(ceilings, range(len(order)), "|", color=GREY, ms=8, label="all found first")
        names = [f"{asked[i].fault}, {label_of(asked[i].modality)}" for i in order]
        right.set_yticks(range(len(order)), names, fontsize=7)
        right.axvline(TARGET, color="black", ls="--", lw=1)
        right.set(xlabel="precision at 50 over base rate")
        right.set(title=f"Each fault: {best.encoder}")
        right.set(ylim=(-0.6, len(order) - 0.4))
        right.legend(loc="lower right")


def page(rows: Sequence[Found], best: Found, asked: Sequence[Task], made: str, seed: int) -> str:
    """docs/results/retrieval.md: what was asked, the comparison, what the best one misses.

    Args:
        made: Date and commit.
    """
    shown = [len(task.shown) for task in asked]
    rates = [task.hits.mean() for task in asked]
    missed = [
        f"{task.fault} in {label_of(task.modality)} ({value:.1f})"
        for value, task in sorted(zip(best.lift["contrast", 50], asked, strict=True), key=_first)
        if value < TARGET
    ]
    return PAGE.format(
        made=made,
        tasks=len(asked),
        fewest=min(shown),
        most=max(shown),
        rate=np.mean(rates),
        ceiling=np.mean([task.ceiling(50) for task in asked]),
        table=markdown(rows, seed),
        best=best.encoder,
        found=len(asked) - len(missed),
        target=TARGET,
        missed="; ".join(missed) or "none",
    )


def _first(pair: tuple[float, Task]) -> float:
    return pair[0]
