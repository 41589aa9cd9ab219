"""How far a model's confidence can be trusted, and mending it without touching its answers.

A forecast is the probability that a model gives to the option that it chose; it is calibrated where
answers given with 70 % are right in 70 % of the cases. Two one-line corrections are fitted:
temperature scaling (Guo et al. 2017, arXiv 1706.04599), which divides all log-probabilities of an
item by one number, and Platt scaling (Platt 1999), which bends the forecast alone. Neither changes
which option is chosen.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GroupKFold

BINS = 10
FLOOR = 1e-12
"""A probability counts as at least this, so that no single item has an infinite loss."""
TEMPERATURES = (0.05, 100.0)
"""Where the temperature is sought; a model that is always right, or never, gets an end of it."""

Probabilities = Sequence[Sequence[float] | np.ndarray]
"""For each item the probabilities of its options; items differ in how many they have."""


def top(probabilities: Probabilities) -> np.ndarray:
    """The forecast of each item: the probability of its most probable option, shape (items,)."""
    return np.array([max(p) for p in probabilities])


def calibration_error(forecast: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error over 10 equal bins: mean distance of forecast and accuracy."""
    bins = np.minimum((forecast * BINS).astype(int), BINS - 1)
    return float(
        sum(
            (bins == b).mean() * abs(forecast[bins == b].mean() - correct[bins == b].mean())
            for b in np.unique(bins)
        )
    )


def forecast_scores(forecast: np.ndarray, correct: np.ndarray) -> dict[str, float | None]:
    """How good forecasts of correctness are.

    Args:
        forecast: Probability that each answer is right, shape (items,).
        correct: 1 where it is right, 0 where not, shape (items,).

    Returns:
        ece: Expected calibration error, 10 equal bins.
        brier: Mean squared error.
        auroc: How well the forecast ranks right above wrong; None when all are the same.
    """
    both = 0 < correct.mean() < 1
    return {
        "ece": calibration_error(forecast, correct),
        "brier": float(np.mean((forecast - correct) ** 2)),
        "auroc": float(roc_auc_score(correct, forecast)) if both else None,
    }


def reliability(correct: np.ndarray, probabilities: Probabilities) -> dict[str, float | None]:
    """How far a model's confidence can be trusted as it is.

    Args:
        correct: 1 where the most probable option is the right one, 0 where not, shape (items,).
        probabilities: Of the options of each item, at least two.

    Returns:
        `forecast_scores` of the most probable option, and
        shift: MedQ-Deg's calibration shift (arXiv 2603.07769): mean of 1 - H / log K less accuracy,
        positive for an over-confident model.
    """
    certainty = [1 + sum(q * np.log(q) for q in p if q > 0) / np.log(len(p)) for p in probabilities]
    return {
        **forecast_scores(top(probabilities), correct),
        "shift": float(np.mean(certainty) - correct.mean()),
    }


def _log_probabilities(probabilities: Probabilities) -> np.ndarray:
    """Log-probabilities, shape (items, most options), -inf where an item has no such option."""
    rows = np.full((len(probabilities), max(map(len, probabilities))), -np.inf)
    for row, p in zip(rows, probabilities, strict=True):
        row[: len(p)] = np.log(np.maximum(p, FLOOR))
    return rows


def fit_temperature(probabilities: Probabilities, truth: Sequence[int]) -> float:
    """The temperature that makes the right options most likely, above 1 for over-confidence.

    The loss is convex in 1 / T, so the one minimum within `TEMPERATURES` is found.

    Args:
        probabilities: Of the options of each item.
        truth: Index of each item's right option.
    """
    logs = _log_probabilities(probabilities)
    right = np.arange(len(logs)), np.asarray(truth)
    found = minimize_scalar(
        lambda log_t: -log_softmax(logs / np.exp(log_t), axis=1)[right].mean(),
        bounds=np.log(TEMPERATURES),
        method="bounded",
    )
    return float(np.exp(found.x))


def apply_temperature(probabilities: Probabilities, temperature: float) -> list[np.ndarray]:
    """Probabilities of the options at a temperature, proportional to p ** (1 / T)."""
    scaled = np.exp(log_softmax(_log_probabilities(probabilities) / temperature, axis=1))
    return [row[: len(p)] for row, p in zip(scaled, probabilities, strict=True)]


def _logit(forecast: np.ndarray) -> np.ndarray:
    return logit(np.clip(forecast, FLOOR, 1 - FLOOR))


def fit_platt(forecast: np.ndarray, correct: np.ndarray) -> tuple[float, float]:
    """Slope a and intercept b of Platt scaling: P(right) = sigmoid(a * logit(forecast) + b).

    Targets are Platt's, a little short of 0 and 1, so that answers which are all right, all wrong
    or perfectly ranked have a finite fit. A slope below 0 says that confidence misleads.

    Args:
        forecast: Probability of each chosen option, shape (items,).
        correct: 1 where it is right, 0 where not, shape (items,).
    """
    rights = correct.sum()
    wrongs = len(correct) - rights
    target = np.where(correct > 0, (rights + 1) / (rights + 2), 1 / (wrongs + 2))
    # A soft target is one observation of each class, weighted.
    x = np.tile(_logit(forecast), 2)[:, None]
    y = np.repeat([1, 0], len(forecast))
    unpenalised = LogisticRegression(C=np.inf)
    fitted = unpenalised.fit(x, y, sample_weight=np.concatenate([target, 1 - target]))
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def apply_platt(forecast: np.ndarray, a: float, b: float) -> np.ndarray:
    """Forecasts after Platt scaling with the parameters of `fit_platt`, shape (items,)."""
    return expit(a * _logit(forecast) + b)


def recalibrated(
    probabilities: Probabilities,
    truth: Sequence[int],
    groups: Sequence[str],
    *,
    seed: int,
    folds: int = 5,
) -> dict[str, object]:
    """What temperature and Platt scaling do to forecasts that they were not fitted on.

    Each fold's forecasts are corrected by parameters that were fitted on the other folds, and the
    scores are those of all folds together. Groups stay whole: questions about one scene are too
    alike to stand on both sides.

    Args:
        probabilities: Of the options of each item.
        truth: Index of each item's right option.
        groups: Scene of each item.
        seed: Of the division into folds.
        folds: Folds, fewer where there are fewer groups.

    Returns:
        items, groups, folds: Counts.
        raw, temperature, platt: `forecast_scores`, and nll: the mean negative log-likelihood of
            being right or wrong, in nats. The last two are None with one group only.
        parameters: temperature, and platt as [a, b], fitted on all items for use on others.

    Raises:
        ValueError: There is no item, or the arguments differ in length.
    """
    if not len(probabilities) == len(truth) == len(groups) or not len(truth):
        raise ValueError(
            f"no items to calibrate: {len(probabilities)} probabilities, {len(truth)} right "
            f"options and {len(groups)} groups"
        )
    options = np.empty(len(probabilities), dtype=object)
    options[:] = [np.asarray(p, dtype=float) for p in probabilities]
    right, forecast = np.asarray(truth), top(options)
    correct = np.array([p.argmax() for p in options]) == right

    def scores(given: np.ndarray) -> dict[str, float | None]:
        bounded = np.clip(given, FLOOR, 1 - FLOOR)
        nll = log_loss(correct, bounded, labels=[False, True])
        return {**forecast_scores(given, correct), "nll": float(nll)}

    scenes = len(set(groups))
    folds = min(folds, scenes)
    by_temperature, by_platt = np.zeros(len(right)), np.zeros(len(right))
    if folds > 1:
        division = GroupKFold(folds, shuffle=True, random_state=seed)
        for fit, held in division.split(right, groups=groups):
            temperature = fit_temperature(options[fit], right[fit])
            by_temperature[held] = top(apply_temperature(options[held], temperature))
            by_platt[held] = apply_platt(forecast[held], *fit_platt(forecast[fit], correct[fit]))
    return {
        "items": len(right),
        "groups": scenes,
        "folds": folds,
        "raw": scores(forecast),
        "temperature": scores(by_temperature) if folds > 1 else None,
        "platt": scores(by_platt) if folds > 1 else None,
        "parameters": {
            "temperature": fit_temperature(options, right),
            "platt": list(fit_platt(forecast, correct)),
        },
    }
