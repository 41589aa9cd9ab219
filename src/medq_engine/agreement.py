"""How far annotators agree, beyond what chance would give, and how they do on gold tasks.

Krippendorff's alpha (2011, "Computing Krippendorff's Alpha-Reliability"; any number of readers,
readings may be missing), Cohen's kappa (1960; quadratic weights, 1968) and Gwet's AC1 (2008). Each
is a function of sums over tasks, so that a bootstrap over tasks is a weighted sum. Alpha and kappa
have no value where nobody ever used a second category; AC1 has one, and is 1 there.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from medq_engine.annotations import Reading, verdict_said
from medq_engine.language import SEVERITY_OPTIONS
from medq_engine.readings import first_readings
from medq_engine.statistics import wilson
from medq_engine.vocabulary import VERDICTS

Task = Mapping[str, object]

MISSING = -1
CONFIDENCE = 0.95
# The scales whose categories have an order, and that order; the others are nominal.
ORDINAL: dict[str, tuple[str, ...]] = {"verdict": VERDICTS, "severity": SEVERITY_OPTIONS}
SCALES = ("verdict", "severity", "presence", "fault")


def alpha(
    ratings: np.ndarray, categories: int, ordinal: bool, weights: np.ndarray | None = None
) -> np.ndarray:
    """Krippendorff's alpha for each row of weights; NaN where it is not defined.

    Args:
        ratings: Category of each task by each reader, shape (tasks, readers), MISSING where there
            is none. Tasks with one reading do not count.
        categories: How many there are; for `ordinal`, numbered in their order.
        ordinal: Krippendorff's ordinal difference, or else the nominal one.
        weights: How often each task counts, shape (resamples, tasks); once, if not given.
    """
    counts, weights = _counts(ratings, categories), _weights(ratings, weights)
    several = counts.sum(1) > 1
    counts = counts[several]
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(categories)
    tables = pairs / (counts.sum(1) - 1)[:, None, None]
    coincidences = np.tensordot(weights[:, several], tables, 1)
    totals = coincidences.sum(2)
    ranks = totals.cumsum(1) - totals / 2
    distance = (
        (ranks[:, :, None] - ranks[:, None, :]) ** 2 if ordinal else 1 - np.eye(categories)[None]
    )
    observed = (coincidences * distance).sum((1, 2)) * (totals.sum(1) - 1)
    expected = (totals[:, :, None] * totals[:, None, :] * distance).sum((1, 2))
    return 1 - _ratio(observed, expected)


def kappa(
    ratings: np.ndarray, categories: int, ordinal: bool, weights: np.ndarray | None = None
) -> np.ndarray:
    """Cohen's kappa, quadratically weighted if `ordinal`; arguments and NaN as in `alpha`.

    Of more than two readers, the mean over pairs that share tasks, weighted by how many they share.
    """
    weights = _weights(ratings, weights)
    steps = np.arange(categories)
    distance = (steps[:, None] - steps) ** 2 if ordinal else 1 - np.eye(categories)
    summed, shared = np.zeros(len(weights)), np.zeros(len(weights))
    for one, other in combinations(ratings.T, 2):
        both = (one != MISSING) & (other != MISSING)
        cells = np.eye(categories**2)[one[both] * categories + other[both]]
        table = (weights[:, both] @ cells).reshape(-1, categories, categories)
        chance = table.sum(2)[:, :, None] * table.sum(1)[:, None, :]
        tasks = table.sum((1, 2))
        expected = (chance * distance).sum((1, 2))
        value = 1 - _ratio((table * distance).sum((1, 2)) * tasks, expected)
        summed += np.where(np.isnan(value), 0, value * tasks)
        shared += np.where(np.isnan(value), 0, tasks)
    return _ratio(summed, shared)


def ac1(ratings: np.ndarray, categories: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Gwet's AC1 for nominal categories; arguments as in `alpha`, NaN where no task has a pair.

    A task with one reading tells how often a category is used, but nothing about agreement.
    """
    counts, weights = _counts(ratings, categories), _weights(ratings, weights)
    readers = counts.sum(1)
    agreeing = _ratio((counts * (counts - 1)).sum(1), readers * (readers - 1))
    observed = _ratio(weights @ np.nan_to_num(agreeing), weights @ (readers > 1))
    shares = counts / np.maximum(readers, 1)[:, None]
    used = _ratio(weights @ shares, (weights @ (readers > 0))[:, None])
    chance = (used * (1 - used)).sum(1) / (categories - 1)
    return _ratio(observed - chance, 1 - chance)


def agreement_of(
    tasks: Iterable[Task],
    readings: Sequence[Reading],
    rng: np.random.Generator,
    resamples: int = 1000,
) -> dict[str, dict[str, float | int | None]]:
    """Agreement of annotators by scale: verdict, severity (how), presence (yes-no), fault (what).

    Readings that settle a disagreement and readings that cannot judge are left out: the former
    know the others, the latter say nothing on the scale.

    Args:
        tasks: The batch.
        readings: All of them, with their optional fields filled in.
        rng: Draws the tasks of each resample.
        resamples: Of the percentile intervals (95 %).

    Returns:
        For each scale on which some task has two readings: `tasks`, and `exact` (share of tasks on
        which all say the same), `alpha`, `kappa`, `ac1`, each with `_low` and `_high`. None stands
        for what two readings cannot tell: a coefficient from one task or one category, an interval
        where more than one resample in twenty has no value.
    """
    about = {str(task["task_id"]): task for task in tasks}
    said: dict[str, dict[str, dict[str, str]]] = {scale: {} for scale in SCALES}
    for row in sorted(first_readings(readings), key=lambda row: str(row["task_id"])):
        if row["unjudged"]:
            continue
        task_id, annotator = str(row["task_id"]), str(row["annotator"])
        given = {_scale(about[task_id]): str(row["answer"]), "verdict": verdict_said(row)}
        for scale, value in given.items():
            if scale and value:
                said[scale].setdefault(task_id, {})[annotator] = value
    found = {}
    for scale, by_task in said.items():
        double = {task_id: values for task_id, values in by_task.items() if len(values) > 1}
        if double:
            options = {option for task_id in double for option in about[task_id]["options"]}
            names = ORDINAL.get(scale, sorted(options))
            ratings = _matrix(double.values(), names)
            found[scale] = _block(ratings, len(names), scale in ORDINAL, rng, resamples)
    return found


def gold_accuracy(
    tasks: Iterable[Task], readings: Sequence[Reading]
) -> dict[str, dict[str, float | int]]:
    """How often each annotator gives the known answer of a gold task, with Wilson's interval.

    "Cannot judge" is not right: a gold task was chosen because it can be judged. Readings that
    settle a disagreement do not count: they know the others.

    Args:
        tasks: Rows of schema TASK; those with an empty `gold` are no gold tasks.
        readings: All of them, with their optional fields filled in.
    """
    known = {task["task_id"]: task["gold"] for task in tasks if task["gold"]}
    right: dict[str, list[bool]] = {}
    for row in first_readings(readings):
        if row["task_id"] in known:
            hit = row["answer"] == known[row["task_id"]]
            right.setdefault(str(row["annotator"]), []).append(hit)
    found = {}
    for annotator, hits in sorted(right.items()):
        low, high = wilson(sum(hits), len(hits), CONFIDENCE)
        found[annotator] = {
            "tasks": len(hits),
            "right": sum(hits),
            "rate": sum(hits) / len(hits),
            "low": low,
            "high": high,
        }
    return found


def below_floor(gold: Mapping[str, Mapping[str, float]], floor: float) -> list[str]:
    """Annotators of `gold_accuracy` who are shown to be below a floor: their upper bound is.

    Nobody is named for bad luck on a few tasks.
    """
    return [annotator for annotator, found in gold.items() if found["high"] < floor]


def _counts(ratings: np.ndarray, categories: int) -> np.ndarray:
    """How many readers gave each category, shape (tasks, categories)."""
    return (ratings[:, :, None] == np.arange(categories)).sum(1)


def _weights(ratings: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return np.ones((1, len(ratings))) if weights is None else weights


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """A quotient, NaN where there is nothing to divide by."""
    empty = np.full(np.broadcast_shapes(over.shape, under.shape), np.nan)
    return np.divide(over, under, out=empty, where=under > 0)


def _scale(task: Task) -> str | None:
    """The scale on which the answers to a task lie."""
    if task["question_type"] == "how":
        return "severity" if tuple(task["options"]) == SEVERITY_OPTIONS else None
    return {"yes-no": "presence", "what": "fault"}[str(task["question_type"])]


def _matrix(rows: Iterable[Mapping[str, str]], names: Sequence[str]) -> np.ndarray:
    """What annotators said of each task as category numbers, shape (tasks, annotators)."""
    rows = list(rows)
    annotators = sorted({annotator for row in rows for annotator in row})
    number = {name: position for position, name in enumerate(names)}
    return np.array([[number.get(row.get(who, ""), MISSING) for who in annotators] for row in rows])


def _block(
    ratings: np.ndarray, categories: int, ordinal: bool, rng: np.random.Generator, resamples: int
) -> dict[str, float | int | None]:
    """Exact agreement and the three coefficients of tasks with several readings each."""
    tasks = len(ratings)
    same = int(((_counts(ratings, categories) > 0).sum(1) == 1).sum())
    low, high = wilson(same, tasks, CONFIDENCE)
    found = {"tasks": tasks, "exact": same / tasks, "exact_low": low, "exact_high": high}
    drawn = rng.multinomial(tasks, np.full(tasks, 1 / tasks), size=resamples)
    weights = np.vstack([np.ones(tasks), drawn])
    values = {
        "alpha": alpha(ratings, categories, ordinal, weights),
        "kappa": kappa(ratings, categories, ordinal, weights),
        "ac1": ac1(ratings, categories, weights),
    }
    for name, (whole, *parts) in values.items():
        found |= dict.fromkeys((name, f"{name}_low", f"{name}_high"))
        if tasks < 2 or np.isnan(whole):
            continue
        found[name] = float(whole)
        defined = np.array(parts)[~np.isnan(parts)]
        if len(defined) >= CONFIDENCE * resamples:
            outer = (1 - CONFIDENCE) / 2
            low, high = np.quantile(defined, [outer, 1 - outer])
            found |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return found
