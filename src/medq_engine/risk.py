"""Risk control: which unreviewed labels to accept, so that few of them are wrong.

The trust model (`trust`) says how probably a label is wrong. It may be wrong itself, so its odds of
an error are multiplied by an unknown factor, one for each question type (Cox 1958, recalibration in
the large). What is known of the factor is a distribution: from dev's cross-fitted errors, wider by
how far a batch may be from dev, then from audits and gold tasks (`noise`). Labels are accepted from
the surest on, as many as keep their rate of errors under the target with the confidence that was
asked for. One bar on the corrected error is a bar of its own for each question type.

What is bounded is the rate, as in the distribution-free methods (Angelopoulos et al. 2021, "Learn
then Test"; 2022, "Conformal Risk Control"): of 50 labels one may be wrong by bad luck, which is 2 %
already. Those methods need no model of trust, but 114 checked labels without an error to promise
2 % at 90 %: more than the audits of several rounds. Hence the Bayesian form, with trust as prior.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

SHIFTS = np.linspace(-4.0, 4.0, 161)
"""Logarithms of the factor that are considered."""
DEV_SD = 0.5
"""Before dev is looked at: standard deviation of the log factor of a cross-fitted error."""
DRIFT_SD = 0.3
"""How far a batch may be from dev: a factor of 1.35 is one standard deviation. Between dev and
simulated batches it was 0.2 to 0.5, mostly towards fewer errors (`make route-study` checks it).
Both were chosen with the truth of simulated batches at hand; another world's may be larger."""
MOST = 0.3
"""No label that is wrong with this probability is accepted, however many sure ones make up for it;
so labels of dev that are less sure say nothing of those that may be."""
DRAWS = 2000


@dataclass(frozen=True)
class Correction:
    """What dev says of the log factor: mean and standard deviation, drift included."""

    mean: float
    sd: float


def odds_times(errors: np.ndarray, shift: np.ndarray | float) -> np.ndarray:
    """Probabilities with their odds multiplied by exp(shift)."""
    return expit(logit(np.clip(errors, 1e-9, 1 - 1e-9)) + shift)


def correction(errors: np.ndarray, wrong: np.ndarray) -> Correction:
    """What labels of dev that might have been accepted say of the factor.

    Args:
        errors: Probability that each is wrong, cross-fitted, shape (labels,).
        wrong: Whether it is, shape (labels,).
    """
    sure = errors < MOST
    chance = odds_times(errors[sure][None], SHIFTS[:, None])
    fit = np.where(wrong[sure], np.log(chance), np.log1p(-chance)).sum(1)
    weight = normalised(fit - SHIFTS**2 / (2 * DEV_SD**2))
    mean = float(weight @ SHIFTS)
    variance = float(weight @ (SHIFTS - mean) ** 2)
    return Correction(mean, float(np.sqrt(variance + DRIFT_SD**2)))


def normalised(logs: np.ndarray) -> np.ndarray:
    """Logarithms of weights as weights that sum to 1 along the last axis."""
    powers = np.exp(logs - logs.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def error_draws(
    errors: np.ndarray, kinds: Sequence[str], shifts: Mapping[str, np.ndarray]
) -> np.ndarray:
    """How probably each label is wrong, for every drawn factor, shape (draws, labels).

    Args:
        errors: Probability that each label is wrong, before the factor.
        kinds: Question type of each.
        shifts: Drawn log factors of each type, shape (draws,), the same number of each.
    """
    if not len(errors):
        return np.zeros((DRAWS, 0))
    return odds_times(errors[None], np.stack([shifts[kind] for kind in kinds], axis=1))


def wrong_draws(
    errors: np.ndarray,
    kinds: Sequence[str],
    shifts: Mapping[str, np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """Which labels are wrong, drawn again and again from what is believed, shape (draws, labels).

    Args:
        errors, kinds, shifts: As in `error_draws`.
        rng: Draws what is wrong.
    """
    chances = error_draws(errors, kinds, shifts)
    return rng.random(chances.shape) < chances


def accepted(
    errors: np.ndarray,
    kinds: Sequence[str],
    shifts: Mapping[str, np.ndarray],
    target: float,
    confidence: float,
) -> np.ndarray:
    """Which labels to accept: the most whose rate of errors is under the target, surest first.

    Args:
        errors, kinds, shifts: As in `error_draws`.
        target: Rate of wrong labels that is borne; at 0 none is accepted.
        confidence: Probability that the rate is not above it.

    Returns:
        True where a label is accepted, shape (labels,); never where it is wrong with probability
        MOST.
    """
    taken = np.zeros(len(errors), dtype=bool)
    chances = error_draws(errors, kinds, shifts)
    mean = chances.mean(0)
    order = np.argsort(mean, kind="stable")
    order = order[mean[order] < MOST]
    if not target or not len(order):
        return taken
    rates = chances[:, order].cumsum(1) / np.arange(1, len(order) + 1)
    fine = np.flatnonzero((rates <= target).mean(0) >= confidence)
    taken[order[: fine[-1] + 1 if len(fine) else 0]] = True
    return taken
