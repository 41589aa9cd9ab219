"""Kinds on which labels are wasted: two rounds of readings did not improve them.

A kind is dropped when over its last two rounds with enough readings its error on dev did not fall
by a small effect, and a reading of it is believed to cure less than the average reading, with 90 %
certainty. The first alone would drop kinds for bad luck, since about 13 items on dev stand for one.
The belief is shrunk over kinds and free of the regression to the mean (`beliefs`); readings without
a hit weigh in it as hits without effect do. A dropped kind comes back as soon as its error is above
what those rounds left by that same small effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from medq_engine.beliefs import believe
from medq_engine.payoff import Kind, kinds_of, name_of

ROUNDS = 2
CONFIDENCE = 0.9
DRAWS = 2000


@dataclass(frozen=True)
class Saturated:
    """A kind that gets no budget, and why, in a sentence without a full stop."""

    kind: Kind
    reason: str


def saturated(
    payoffs: pl.DataFrame,
    now: Mapping[Kind, float],
    rng: np.random.Generator,
    *,
    least_readings: int,
    least_effect: float,
) -> list[Saturated]:
    """Kinds to drop, in the order in which the table has them.

    Args:
        payoffs: Schema PAYOFF, all closed rounds.
        now: Error rate of the incumbent on dev by kind; a kind that it lacks stays dropped.
        rng: Of the posterior's draws.
        least_readings: Readings that a round must have spent on a kind to count.
        least_effect: Change of the error rate that matters, in [0, 1].
    """
    if not len(payoffs):
        return []
    kinds = list(dict.fromkeys(kinds_of(payoffs)))
    draws = believe(payoffs).payoffs(kinds, DRAWS, rng)
    most = np.quantile(draws, CONFIDENCE, axis=0) / draws.mean()
    history = payoffs.filter(pl.col("readings") >= least_readings).sort("round")
    tries: dict[Kind, list[dict[str, int]]] = {}
    for kind, row in zip(kinds_of(history), history.to_dicts(), strict=True):
        tries.setdefault(kind, []).append(row)
    found = []
    for kind, bound in zip(kinds, most.tolist(), strict=True):
        last = tries.get(kind, [])[-ROUNDS:]
        if len(last) < ROUNDS or bound >= 1:
            continue
        before, after = _errors(last)
        rose = now.get(kind, after) >= after + least_effect
        if before - after < least_effect and not rose:
            found.append(Saturated(kind, _reason(kind, last, bound)))
    return found


def _errors(tried: Sequence[Mapping[str, int]]) -> tuple[float, float]:
    """Error rates on dev before the first and after the last of some rounds."""
    first, last = tried[0], tried[-1]
    return first["wrong_before"] / first["items"], last["wrong_after"] / last["items"]


def _reason(kind: Kind, tried: Sequence[Mapping[str, int]], bound: float) -> str:
    """What was tried, what came of it, and what a further reading is worth."""
    before, after = _errors(tried)
    rounds = " and ".join(str(row["round"]) for row in tried)
    readings, hits = (sum(row[name] for row in tried) for name in ("readings", "hits"))
    return (
        f"{name_of(kind)}: {readings} readings in rounds {rounds} "
        f"({hits} of them with the fault), error on dev {before:.0%} before, {after:.0%} after; "
        f"a further reading is worth at most {bound:.0%} of an average one ({CONFIDENCE:.0%} sure)"
    )
