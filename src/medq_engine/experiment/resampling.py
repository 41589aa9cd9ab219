"""Bootstrap over seeds and over the scenes of the test, together.

Both are drawn independently of each other, as the pigeonhole bootstrap does (Owen 2007), whose
intervals are rather too wide than too narrow. Of n seeds n - 1 are drawn, which makes the variance
of a mean right where n is small (Rao and Wu 1988). Scenes are drawn whole, as in statistics.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from medq_engine.simulation import seeded

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; infinite where it is only known to be above `reach`.

    Attributes:
        value, low, high: Two-sided at `CONFIDENCE`.
        reach: The longest run ended here: infinite values are at least this.
        censored: Share of replicates that ended there.
    """

    value: float
    low: float
    high: float
    reach: float = float("inf")
    censored: float = 0.0


class Sampler:
    """Draws of the test's scenes; the first is the test as it is.

    All that is compared must be measured with the same sampler: the same scenes are drawn for all,
    and a strategy's seeds are drawn alike in all comparisons.
    """

    def __init__(self, name: str, scenes: Sequence[int], resamples: int) -> None:
        """
        Args:
            name: What all draws depend on.
            scenes: The scene of every item, numbered from 0.
            resamples: Draws beside the first.
        """
        self.member = np.asarray(scenes)
        self.sizes = np.bincount(self.member)
        count = len(self.sizes)
        rng = seeded(name, "scenes")
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
        self.drawn = np.vstack([np.ones(count, int), drawn])
        self.name, self.resamples = name, resamples

    def accuracy(self, correct: np.ndarray) -> np.ndarray:
        """Accuracies of shape (runs, 1 + resamples).

        Args:
            correct: Right or wrong, shape (runs, items).
        """
        counts = np.stack([np.bincount(self.member, row, len(self.sizes)) for row in correct])
        return (counts @ self.drawn.T) / (self.drawn @ self.sizes)

    def seeds(self, strategy: str, seeds: Sequence[int]) -> np.ndarray:
        """Weights of a strategy's seeds that sum to 1, shape (seeds, 1 + resamples).

        The first are equal. One seed cannot be drawn otherwise: what it varies by stays unknown.
        """
        count = len(seeds)
        equal = np.full((count, 1), 1 / count)
        if count == 1:
            return np.ones((1, 1 + self.resamples))
        rng = seeded(self.name, strategy, *seeds)
        drawn = rng.multinomial(count - 1, np.full(count, 1 / count), size=self.resamples)
        return np.hstack([equal, drawn.T / (count - 1)])


def estimate(values: np.ndarray, reach: float = float("inf")) -> Estimate:
    """The first of some replicates with the percentile interval of the others.

    Args:
        values: Shape (1 + resamples,); infinite where a replicate is censored.
        reach: What censored values are at least.
    """
    outer = (1 - CONFIDENCE) / 2
    # Not between two values: one of them may be infinite.
    low = np.quantile(values[1:], outer, method="lower")
    high = np.quantile(values[1:], 1 - outer, method="higher")
    censored = float(np.isinf(values[1:]).mean())
    return Estimate(float(values[0]), float(low), float(high), reach, censored)


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean of what seeds gave with Student's interval; a single seed has none (nan)."""
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return Estimate(mean, float("nan"), float("nan"))
    half = t.ppf(0.5 + CONFIDENCE / 2, count - 1) * np.std(values, ddof=1) / np.sqrt(count)
    return Estimate(mean, float(mean - half), float(mean + half))
