"""The quality gate: does the challenger take the incumbent's place?

pass: better overall (interval above zero) and no modality worse than the margin.
fail: worse overall, or a modality that is shown to lose more than the margin.
inconclusive: neither is shown; the incumbent stays, and the verdict says how many items would tell.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from medq_engine.config import QualityGate
from medq_engine.evaluation import SLICES, summary
from medq_engine.simulation import seeded
from medq_engine.statistics import Difference, paired_bootstrap
from medq_engine.vocabulary import MODALITY_LABELS


@dataclass(frozen=True)
class Comparison:
    """Incumbent and challenger on one split, item by item.

    Attributes:
        overall: Difference over all perception items.
        slices: Difference of every value of every slice (`evaluation.SLICES`).
        incumbent, challenger: `evaluation.summary` of each.
    """

    overall: Difference
    slices: Mapping[str, Mapping[str, Difference]]
    incumbent: Mapping[str, object]
    challenger: Mapping[str, object]


@dataclass(frozen=True)
class Decision:
    """A verdict with its reason in words, and the further items that an inconclusive one needs."""

    verdict: str
    reason: str
    items_more: int


def compare(
    items: pl.DataFrame,
    incumbent: pl.DataFrame,
    challenger: pl.DataFrame,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Comparison:
    """Paired, scene-clustered differences of two sets of predictions on the same items.

    Args:
        items: Schema ITEM.
        incumbent, challenger: Schema PREDICTION, one row for each item.
    """
    paired = (
        items.filter(pl.col("task") == "perception")
        .join(incumbent.select("item_id", before="correct"), on="item_id", maintain_order="left")
        .join(challenger.select("item_id", after="correct"), on="item_id", maintain_order="left")
    )

    def difference(rows: pl.DataFrame) -> Difference:
        before, after = rows["before"].to_numpy(), rows["after"].to_numpy()
        clusters = rows["scene_id"].to_list()
        return paired_bootstrap(before, after, clusters, resamples, confidence, rng)

    slices = {
        column: {
            str(value): difference(paired.filter(pl.col(column) == value))
            for value in paired[column].unique().sort()
        }
        for column in SLICES
    }
    return Comparison(
        difference(paired), slices, summary(items, incumbent), summary(items, challenger)
    )


def as_metrics(comparison: Comparison) -> dict[str, object]:
    """A comparison as plain numbers, for metrics/gate.json."""
    slices = {
        column: {value: vars(difference) for value, difference in values.items()}
        for column, values in comparison.slices.items()
    }
    return {
        "overall": vars(comparison.overall),
        **slices,
        "incumbent": comparison.incumbent,
        "challenger": comparison.challenger,
    }


def hold(
    items: Mapping[str, pl.DataFrame],
    predictions: Mapping[tuple[str, str], pl.DataFrame],
    settings: QualityGate,
    seed: int,
) -> dict[str, object]:
    """Compare and decide: the contents of metrics/gate.json.

    The verdict follows from the gate split alone. What stands on test beside it is the same
    comparison, and the model in force after the verdict against the base (`test_since_base`, by
    origin too: phantoms must not make the gain).

    Args:
        items: Items of `gate` and `test`.
        predictions: By (role, split): `incumbent` and `challenger` on both, `base` on test.
    """

    def compared(split: str, before: str, after: str) -> Comparison:
        pair = (predictions[before, split], predictions[after, split])
        rng = seeded("gate", seed, split, before)
        return compare(items[split], *pair, settings.resamples, settings.confidence, rng)

    gate = compared("gate", "incumbent", "challenger")
    decision = decide(gate, settings.margin)
    in_force = "challenger" if decision.verdict == "pass" else "incumbent"
    since_base = compared("test", "base", in_force)
    return {
        **vars(decision),
        "gate": as_metrics(gate),
        "test": as_metrics(compared("test", "incumbent", "challenger")),
        "test_since_base": {
            **vars(since_base.overall),
            "origin": {name: vars(d) for name, d in since_base.slices["origin"].items()},
        },
    }


def decide(gate: Comparison, margin: float) -> Decision:
    """Decide from paired differences on the gate split.

    A modality is non-inferior if the one-sided lower bound of its difference is above -margin; it
    is shown to be worse if the one-sided upper bound is below -margin.

    Args:
        gate: The comparison on the gate split, and on no other.
        margin: Loss of accuracy that a modality may suffer, in [0, 1].
    """
    overall, modalities = gate.overall, gate.slices["modality"]
    if overall.high < 0:
        return Decision("fail", f"worse overall: {interval(overall)}", 0)
    worse = [name for name, d in modalities.items() if d.ceiling < -margin]
    if worse:
        return Decision("fail", f"loses more than {100 * margin:g} points on {names(worse)}", 0)
    if overall.low <= 0:
        return Decision(
            "inconclusive",
            f"no sure gain: {interval(overall)}",
            items_more(overall, overall.low, 0.0),
        )
    unsure = [name for name, d in modalities.items() if d.floor <= -margin]
    if unsure:
        return Decision(
            "inconclusive",
            f"better overall ({interval(overall)}), but a loss beyond {100 * margin:g} points "
            f"is not ruled out on {names(unsure)}",
            max(items_more(modalities[name], modalities[name].floor, -margin) for name in unsure),
        )
    return Decision("pass", f"better overall: {interval(overall)}; no modality worse", 0)


def names(modalities: Sequence[str]) -> str:
    """Modalities as a reader writes them."""
    return ", ".join(MODALITY_LABELS[modality] for modality in modalities)


def interval(difference: Difference) -> str:
    """`+4.2 points (+1.0 to +7.3)`."""
    low, high = 100 * difference.low, 100 * difference.high
    return f"{100 * difference.value:+.1f} points ({low:+.1f} to {high:+.1f})"


def items_more(difference: Difference, bound: float, target: float) -> int:
    """Further items until a lower `bound` would clear `target`, if the difference stays as it is.

    An interval's width falls with the square root of the items; 0 where the difference itself is on
    the wrong side, since no number of items would help.
    """
    distance = difference.value - target
    if distance <= 0:
        return 0
    reach = difference.value - bound
    return max(0, math.ceil(difference.items * ((reach / distance) ** 2 - 1)))
