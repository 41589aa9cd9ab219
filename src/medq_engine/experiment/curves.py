"""Learning curves, and how many labels one strategy needs to do what another does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from medq_engine.experiment.resampling import Estimate, Sampler, estimate


@dataclass(frozen=True, eq=False)
class Point:
    """The chains of one strategy after the same round.

    Attributes:
        seeds: Of the chains.
        spent: What each had spent until then by axis (labels, expert minutes), shape (seeds,).
        correct: Right answers on test, shape (seeds, items): of the challenger of that round.
        in_force: The same of the model in force after its verdict.
    """

    strategy: str
    round: int
    seeds: tuple[int, ...]
    spent: Mapping[str, np.ndarray]
    correct: np.ndarray
    in_force: np.ndarray


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean accuracy against what was spent, of every replicate.

    Attributes:
        spent, accuracy: Shape (points, 1 + resamples).
        chains: How many chains are behind each point, shape (points,).
    """

    spent: np.ndarray
    accuracy: np.ndarray
    chains: np.ndarray


def curve(points: Sequence[Point], base: np.ndarray, axis: str, sampler: Sampler) -> Curve:
    """The curve through some points, from the base on.

    Args:
        points: Of one strategy, or of several budgets of the same kind of sampling.
        base: Right answers of the base, shape (items,).
        axis: What was spent.
        sampler: Draws scenes and seeds.
    """
    start = sampler.accuracy(base[None])
    spent, accuracy = [np.zeros(start.shape[1])], [start[0]]
    for point in points:
        weights = sampler.seeds(point.strategy, point.seeds)
        spent.append((point.spent[axis][:, None] * weights).sum(0))
        accuracy.append((sampler.accuracy(point.correct) * weights).sum(0))
    # The base has no chains: it counts as much as the best-measured point.
    chains = np.array([max(len(p.seeds) for p in points), *(len(p.seeds) for p in points)])
    return Curve(np.stack(spent), np.stack(accuracy), chains)


def needed(spent: np.ndarray, accuracy: np.ndarray, chains: np.ndarray, target: float) -> float:
    """What has to be spent until a monotone curve reaches a target; infinite if it never does.

    The curve is the isotonic regression through the points. Between them it is a straight line over
    the square root of what was spent: gains fall off, and a straight line over labels themselves
    would make random sampling look slower between two of its budgets than it is.

    Args:
        spent, accuracy, chains: Of the points, shape (points,).
        target: Accuracy.
    """
    order = np.argsort(spent, kind="stable")
    root = np.sqrt(spent[order])
    rising = isotonic_regression(accuracy[order], weights=chains[order]).x
    # The base itself, before it is levelled with budgets that did worse.
    if max(accuracy[order[0]], rising[0]) >= target:
        return 0.0
    above = np.flatnonzero(rising >= target)
    if not len(above):
        return float("inf")
    last = above[0]
    share = (target - rising[last - 1]) / (rising[last] - rising[last - 1])
    return float((root[last - 1] + share * (root[last] - root[last - 1])) ** 2)


def efficiency(reference: Curve, budget: np.ndarray, target: np.ndarray) -> Estimate:
    """How many times as much the reference needs to be as good as another strategy is.

    Args:
        reference: The curve of what is compared with, random sampling say.
        budget: What the other strategy has spent, shape (1 + resamples,).
        target: Its accuracy there, of the same shape.
    """
    columns = range(len(target))
    values = [
        needed(reference.spent[:, n], reference.accuracy[:, n], reference.chains, target[n])
        for n in columns
    ]
    reach = float(reference.spent[:, 0].max() / budget[0])
    return estimate(np.array(values) / budget, reach)


def difference(first: Point, second: Point, sampler: Sampler) -> Estimate:
    """Accuracy of the second less that of the first, paired by seed and item.

    Raises:
        ValueError: They have no seed in common.
    """
    common = sorted({*first.seeds} & {*second.seeds})
    if not common:
        raise ValueError(f"{first.strategy} and {second.strategy} have no seed in common")
    one, other = (p.correct[[p.seeds.index(seed) for seed in common]] for p in (first, second))
    apart = sampler.accuracy(other) - sampler.accuracy(one)
    return estimate((apart * sampler.seeds(second.strategy, common)).sum(0))


def closed(base: np.ndarray, reached: Point, top: Point | float, sampler: Sampler) -> Estimate:
    """Share of the gap from base to a reference that was closed.

    Args:
        base: Right answers of the base, shape (items,).
        reached: Its models in force.
        top: The reference, or its accuracy where no more is known.
    """
    start = sampler.accuracy(base[None])[0]

    def mean(right: np.ndarray, of: Point) -> np.ndarray:
        return (sampler.accuracy(right) * sampler.seeds(of.strategy, of.seeds)).sum(0)

    end = mean(reached.in_force, reached)
    goal = mean(top.correct, top) if isinstance(top, Point) else top
    return estimate((end - start) / (goal - start))
