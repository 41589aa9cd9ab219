"""What closed rounds let us believe of a kind: how often a reading hits, and what a hit cures.

Two factors, learnt apart: *precision*, the share of a kind's readings that show its fault, and
*cure*, the share of its errors on dev that one label takes away. The second is small data (about 13
items a kind), and it lies: a kind is fetched because the model failed on these very items, and an
error that was chosen for being high falls by itself. So every kind enters one regression in which
the error before is a covariate (analysis of covariance: Barnett, van der Pols and Dobson 2005, Int
J Epidemiol 34:215); kinds that started alike and got no label say what happens anyway. The cure
comes out up to a quarter too small (the error before is itself measured), for all kinds alike,
which changes no share of the budget.

Kinds borrow strength from each other, or one lucky kind would take the whole budget: a
beta-binomial for precision (Kleinman 1973, JASA 68:46), a random slope of each kind for the cure
(Laird and Ware 1982, Biometrics 38:963).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import betaln, ndtr, ndtri

from medq_engine.payoff import Kind, kinds_of

CONCENTRATIONS = np.geomspace(1, 64, 13)
"""Readings that the prior of a precision may be worth; the likeliest is taken."""
SPREADS = np.array([0.003, 0.006, 0.012, 0.025, 0.05, 0.1])
"""Standard deviations of the cure between kinds, averaged over, all equally likely at first."""
TYPICAL_CURE = 0.05
"""Prior standard deviation of the mean cure: a label cures a few percent of its kind's errors."""
DRAWS = 2000
ITEM_VARIANCE, ITEM_WEIGHT = 0.2, 10
"""Prior of an item's residual variance, worth ten rows: on the embedded benchmark one answer in
seven changes from a model to the next, and the items of an image change together."""


@dataclass(frozen=True)
class Beliefs:
    """Posterior of every kind that a closed round saw, and of a new one.

    Attributes:
        precisions: Parameters of a beta distribution.
        cures: Mean and standard deviation of a normal that is cut at 0: right labels of a fault do
            not make it worse.
        new_precision, new_cure: The same of a kind that no round saw.
    """

    precisions: Mapping[Kind, tuple[float, float]]
    cures: Mapping[Kind, tuple[float, float]]
    new_precision: tuple[float, float]
    new_cure: tuple[float, float]

    def payoffs(self, kinds: Sequence[Kind], draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draws of the share of its errors that a kind loses by one reading, (draws, kinds)."""
        precisions = np.array([self.precisions.get(kind, self.new_precision) for kind in kinds])
        cures = np.array([self.cures.get(kind, self.new_cure) for kind in kinds])
        mean, deviation = cures.T
        shape = (draws, len(kinds))
        hits = rng.beta(*precisions.T, size=shape)
        # Inverse of the upper tail above 0, exact however far below 0 the mean lies.
        tail = 1 - rng.random(shape)
        return hits * (mean - deviation * ndtri(tail * ndtr(mean / deviation)))


def believe(payoffs: pl.DataFrame) -> Beliefs:
    """Posteriors from all closed rounds.

    Args:
        payoffs: Schema PAYOFF, at least one row.
    """
    precisions, new_precision = _precisions(payoffs)
    cures, new_cure = _cures(payoffs)
    return Beliefs(precisions, cures, new_precision, new_cure)


def per_reading(payoffs: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """What a reading of each kind is believed to cure, for people to read.

    Args:
        payoffs: Schema PAYOFF, at least one row.
        rng: Of the posterior's draws.

    Returns:
        A row a kind, the best first: `modality`, `attribute`; `readings`, `hits`, `labels` of all
        rounds; `cured`, `low`, `high`: share of the kind's errors on dev that one reading takes
        away, with 90 % interval.
    """
    kinds = payoffs.group_by("modality", "attribute", maintain_order=True).agg(
        pl.sum("readings", "hits", "labels")
    )
    draws = believe(payoffs).payoffs(kinds_of(kinds), DRAWS, rng)
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    found = kinds.with_columns(
        pl.Series("cured", draws.mean(0)), pl.Series("low", low), pl.Series("high", high)
    )
    return found.sort("cured", descending=True, maintain_order=True)


def _precisions(
    payoffs: pl.DataFrame,
) -> tuple[dict[Kind, tuple[float, float]], tuple[float, float]]:
    """Beta posteriors; the prior has the mean of all readings and the likeliest weight."""
    sums = payoffs.group_by("modality", "attribute", maintain_order=True).agg(
        pl.sum("readings", "hits")
    )
    hits, misses = sums["hits"].to_numpy(), (sums["readings"] - sums["hits"]).to_numpy()
    mean = (hits.sum() + 1) / (hits.sum() + misses.sum() + 2)
    a, b = mean * CONCENTRATIONS[:, None], (1 - mean) * CONCENTRATIONS[:, None]
    likelihood = (betaln(a + hits, b + misses) - betaln(a, b)).sum(1)
    weight = CONCENTRATIONS[likelihood.argmax()]
    prior = (float(mean * weight), float((1 - mean) * weight))
    found = zip(kinds_of(sums), hits.tolist(), misses.tolist(), strict=True)
    return {kind: (prior[0] + h, prior[1] + m) for kind, h, m in found}, prior


def _cures(payoffs: pl.DataFrame) -> tuple[dict[Kind, tuple[float, float]], tuple[float, float]]:
    """Normal posteriors of the cure: Bayesian regression of the fall in error on the dose.

    fall = level of the round + slope x error before + (mean cure + own cure) x dose + noise, with
    dose = labels x error before, since a cure is a share of the errors that there are.
    """
    names = kinds_of(payoffs)
    kinds = list(dict.fromkeys(names))
    items = payoffs["items"].to_numpy().astype(float)
    before = payoffs["wrong_before"].to_numpy() / items
    fall = before - payoffs["wrong_after"].to_numpy() / items
    dose = payoffs["labels"].to_numpy() * before
    levels = np.equal.outer(payoffs["round"].to_numpy(), payoffs["round"].unique().to_numpy())
    place = {kind: number for number, kind in enumerate(kinds)}
    own = np.equal.outer([place[name] for name in names], np.arange(len(kinds)))
    shared = np.column_stack([levels, before, dose])
    design = np.column_stack([shared, own * dose[:, None]])
    fixed = shared.shape[1]
    variance = _noise(shared, fall, items)
    # Row i picks the cure of kind i out of the coefficients; the last one that of a new kind.
    picked = np.zeros((len(kinds) + 1, design.shape[1]))
    picked[:, fixed - 1] = 1
    picked[:-1, fixed:] = np.eye(len(kinds))

    towards = design.T @ (items * fall) / variance
    information = design.T @ (design * items[:, None]) / variance
    evidence, means, variances = [], [], []
    for spread in SPREADS:
        prior = np.ones(design.shape[1])
        prior[fixed - 1], prior[fixed:] = TYPICAL_CURE**2, spread**2
        precision = information + np.diag(1 / prior)
        covariance = np.linalg.inv(precision)
        coefficients = covariance @ towards
        scale = np.linalg.slogdet(precision)[1] + np.log(prior).sum()
        evidence.append((towards @ coefficients - scale) / 2)
        means.append(picked @ coefficients)
        variances.append(((picked @ covariance) * picked).sum(1))
        variances[-1][-1] += spread**2
    weight = np.exp(np.array(evidence) - max(evidence))
    weight /= weight.sum()
    mean = weight @ means
    deviation = np.sqrt(weight @ (variances + (means - mean) ** 2))
    found = list(zip(mean.tolist(), deviation.tolist(), strict=True))
    return dict(zip(kinds, found[:-1], strict=True)), found[-1]


def _noise(shared: np.ndarray, fall: np.ndarray, items: np.ndarray) -> float:
    """Variance of one item's change, from what the shared terms leave and a prior."""
    root = np.sqrt(items)
    solution = np.linalg.lstsq(shared * root[:, None], fall * root, rcond=None)[0]
    residual = root * (fall - shared @ solution)
    degrees = max(len(items) - shared.shape[1], 0)
    return float((residual @ residual + ITEM_WEIGHT * ITEM_VARIANCE) / (degrees + ITEM_WEIGHT))
