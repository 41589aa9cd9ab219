"""Is another round worth its labels? What it is expected to bring against a declared price.

Accuracy is taken to rise with expert minutes along a saturating curve, A (1 - exp(-minutes / k)):
of rounds of equal length each brings the same fraction of what the one before brought. On top of
the curve every training has its own luck, and the gate measures with error. The three unknown sizes
(A, k, luck) are integrated over a grid.

Every round counts, also those that the gate refused. The model in force is there because it looked
good on the gate, so its measured gain is too high on average (winner's curse). A posterior given
all rounds, and not the winners alone, needs no further correction (Dawid 1994, "Selection paradoxes
of Bayesian inference", IMS Lecture Notes 24:211).

Two questions, two answers. What are the *labels* of another round worth? The rise of the curve:
this decides. What will its *challenger* gain over the model in force? That has luck in it, and also
labels of refused rounds, which are paid already.

Simulated (tests/test_stopping.py; gains that fall geometrically or by a power law): it stops within
one round of the right one in three runs of four or more. The challenger's interval holds as often
as it says. That of the labels rests on the curve's shape: late in a power law it lies too low, by
about 0.1 points a round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtr
from scipy.stats import norm

CONFIDENCE = 0.9
TOTALS = np.linspace(0, 40, 81)
"""Points that labels without end would bring, A; the prior is a half-normal."""
TYPICAL_TOTAL = 10.0
PACES = np.geomspace(0.25, 16, 25)
"""k in rounds of mean length, all equally likely: a round brings 2 % to 94 % of the one before."""
LUCKS = np.array([0.1, 0.25, 0.5, 1.0, 2.0])
"""Standard deviation of a training's luck in points, all equally likely."""
LEAST_WEIGHT = 1e-3
"""Cells of the grid less likely than that, beside the likeliest, are left out."""


@dataclass(frozen=True)
class Step:
    """A closed round as the gate saw it.

    Attributes:
        minutes: Expert minutes that it took.
        gain: Challenger less incumbent on gate, in points.
        error: Standard error of the gain, in points.
        passed: True if the challenger took the incumbent's place.
    """

    minutes: float
    gain: float
    error: float
    passed: bool

    @classmethod
    def measured(
        cls, minutes: float, difference: Mapping[str, float], confidence: float, passed: bool
    ) -> "Step":
        """A round by the gate's difference, the standard error from the width of its interval.

        Args:
            minutes: Expert minutes that it took.
            difference: `value`, `low` and `high`, as shares.
            confidence: Of that interval.
            passed: True if the challenger took the incumbent's place.
        """
        wide = 2 * float(norm.ppf((1 + confidence) / 2))
        error = 100 * (difference["high"] - difference["low"]) / wide
        return cls(minutes, 100 * difference["value"], error, passed)


@dataclass(frozen=True)
class Expected:
    """An expectation with its 90 % interval, in points."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.1f} points ({self.low:+.1f} to {self.high:+.1f})"


@dataclass(frozen=True)
class Outlook:
    """What another round would bring.

    Attributes:
        labels: What its labels are worth: the rise of the curve, never below 0.
        challenger: What its challenger gains over the model in force.
        better: Probability that the challenger is better at all.
        seen: Probability that the gate measures a sure gain (overall, 95 %).
        minutes: Expert minutes that it takes, the mean of the rounds so far.
        least_gain: Points per expert hour that are asked for.
        rounds: Closed rounds that this rests on.
    """

    labels: Expected
    challenger: Expected
    better: float
    seen: float
    minutes: float
    least_gain: float
    rounds: int

    @property
    def hourly(self) -> float:
        """Points that an expert hour is expected to bring."""
        return 60 * self.labels.value / self.minutes

    @property
    def go_on(self) -> bool:
        """True if another round is worth its labels."""
        return self.hourly >= self.least_gain

    @property
    def verdict(self) -> str:
        """The decision with its reason, for people."""
        return (
            f"another round is expected to bring {self.labels} for {self.minutes:.0f} expert "
            f"minutes, that is {self.hourly:.2f} an hour where {self.least_gain:g} are asked for: "
            f"{'go on' if self.go_on else 'stop'}"
        )

    @property
    def detail(self) -> str:
        """What the verdict leaves open, for people."""
        told = (
            f"Its challenger is expected to gain {self.challenger} over the model in force; it is "
            f"better at all with {self.better:.0%} probability, and the gate sees a sure gain with "
            f"{self.seen:.0%}."
        )
        if self.rounds > 1:
            return told
        return (
            f"{told} One round tells neither how fast gains fall nor how much luck a training has: "
            "both are assumed, and the next round will say more."
        )


def outlook(steps: Sequence[Step], least_gain: float) -> Outlook:
    """What another round would bring, from all rounds so far.

    Args:
        steps: The closed rounds in order, on one gate split; at least one.
        least_gain: Price: points per expert hour below which labels are not worth it.

    Raises:
        ValueError: There is no round, or one that took no time.
    """
    if not steps or min(step.minutes for step in steps) <= 0:
        raise ValueError("an outlook needs closed rounds that took expert time")
    spent = np.cumsum([step.minutes for step in steps])
    each = float(spent[-1] / len(steps))
    totals, paces = (axis.ravel() for axis in np.meshgrid(TOTALS, PACES))
    curve = totals[:, None] * -np.expm1(-np.append(spent, spent[-1] + each) / each / paces[:, None])
    prior = -((totals / TYPICAL_TOTAL) ** 2) / 2
    # Each model's own share of the gate's noise: a difference of two has twice its variance.
    noise = float(np.mean([step.error**2 for step in steps])) / 2

    cells = [_given_luck(steps, curve, luck, noise) for luck in LUCKS]
    logs, means, deviations = (np.concatenate(parts) for parts in zip(*cells, strict=True))
    logs += np.tile(prior, len(LUCKS))
    rises = np.tile(curve[:, -1] - curve[:, -2], len(LUCKS))
    likely = logs > logs.max() + np.log(LEAST_WEIGHT)
    weight = np.exp(logs[likely] - logsumexp(logs[likely]))
    means, deviations, rises = means[likely], deviations[likely], rises[likely]

    reach = 4 * deviations.max()
    points = np.linspace(means.min() - reach, means.max() + reach, 150)
    below = ndtr((points[:, None] - means) / deviations) @ weight
    order = np.argsort(rises)
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    sure = norm.ppf(0.975) * np.sqrt(2 * noise)
    measured = np.sqrt(deviations**2 + 2 * noise)
    return Outlook(
        labels=Expected(
            float(weight @ rises),
            *np.interp(tails, np.cumsum(weight[order]) - weight[order] / 2, rises[order]).tolist(),
        ),
        challenger=Expected(float(weight @ means), *np.interp(tails, below, points).tolist()),
        better=float(weight @ ndtr(means / deviations)),
        seen=float(weight @ ndtr((means - sure) / measured)),
        minutes=each,
        least_gain=least_gain,
        rounds=len(steps),
    )


def _given_luck(
    steps: Sequence[Step], curve: np.ndarray, luck: float, noise: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every curve: log-likelihood, mean and deviation of the next challenger's gain.

    Args:
        curve: Points above the start after each round and after the next, shape (curves, rounds+1).
        luck: Standard deviation of a training's luck.
        noise: Variance of one model's measurement on gate.
    """
    above, incumbent = _above_start(steps)
    # The start's own noise is in every gain above it.
    cover = (luck**2 + noise) * np.eye(len(steps)) + noise
    inverse = np.linalg.inv(cover)
    rest = above - curve[:, :-1]
    weighted = rest @ inverse
    logs = -((weighted * rest).sum(1) + np.linalg.slogdet(cover)[1]) / 2
    held, unsure = np.zeros(len(curve)), 0.0
    if incumbent is not None:
        held = curve[:, incumbent] + luck**2 * weighted[:, incumbent]
        unsure = luck**2 - luck**4 * inverse[incumbent, incumbent]
    deviation = np.sqrt(luck**2 + unsure)
    return logs, curve[:, -1] - held, np.full(len(curve), deviation)


def _above_start(steps: Sequence[Step]) -> tuple[np.ndarray, int | None]:
    """Each challenger's measured gain over the first incumbent, and which of them is in force."""
    above, level, incumbent = [], 0.0, None
    for number, step in enumerate(steps):
        above.append(level + step.gain)
        if step.passed:
            level, incumbent = above[-1], number
    return np.array(above), incumbent
