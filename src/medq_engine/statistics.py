"""Paired, clustered statistics: how sure a difference between two models is.

Questions about one scene stand or fall together, so scenes are resampled and not items (clustered
standard errors, arXiv 2411.00640).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm


@dataclass(frozen=True)
class Difference:
    """A paired difference of accuracies (challenger less incumbent) with its interval.

    Attributes:
        items: Pairs.
        clusters: Scenes.
        incumbent, challenger: Accuracies.
        value: Challenger less incumbent.
        low, high: Two-sided percentile interval at the asked confidence.
        floor: One-sided lower bound at the same confidence.
        ceiling: One-sided upper bound at the same confidence.
    """

    items: int
    clusters: int
    incumbent: float
    challenger: float
    value: float
    low: float
    high: float
    floor: float
    ceiling: float


def paired_bootstrap(
    incumbent: np.ndarray,
    challenger: np.ndarray,
    clusters: Sequence[str],
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Difference:
    """Bootstrap the paired difference over clusters.

    Args:
        incumbent, challenger: Score of each item (0 or 1), shape (items,), same items, same order.
        clusters: Cluster of each item.

    Raises:
        ValueError: The two differ in length, or there is no item.
    """
    if len(incumbent) != len(challenger) or not len(incumbent):
        raise ValueError(f"unpaired scores: {len(incumbent)} and {len(challenger)} items")
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    difference = np.bincount(member, challenger.astype(float) - incumbent.astype(float))
    counts = np.bincount(member)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    values = (drawn @ difference) / (drawn @ counts)
    outer = (1 - confidence) / 2
    low, high, floor, ceiling = np.quantile(values, [outer, 1 - outer, 1 - confidence, confidence])
    return Difference(
        items=len(incumbent),
        clusters=len(names),
        incumbent=float(incumbent.mean()),
        challenger=float(challenger.mean()),
        value=float(challenger.mean() - incumbent.mean()),
        low=float(low),
        high=float(high),
        floor=float(floor),
        ceiling=float(ceiling),
    )


def wilson(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927); (0, 1) without a trial."""
    if not trials:
        return 0.0, 1.0
    z = float(norm.ppf(0.5 + confidence / 2))
    p = successes / trials
    centre = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * np.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))
