"""From the cells' results to what the report says: rows of tables, and points of figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medq_engine.experiment import curves
from medq_engine.experiment.curves import Point
from medq_engine.experiment.grid import Cell, Chain, Grid
from medq_engine.experiment.resampling import Estimate, Sampler, over_seeds
from medq_engine.experiment.results import KINDS, Result, unpack

RESAMPLES = 2000
AXES = {"labels": "trained", "minutes": "minutes"}
"""What strategies are compared at equal amounts of, and where a result has it."""
EXPERT = "simulated expert"


@dataclass(frozen=True)
class Spending:
    """What the chains of a strategy had cost after a round, and what their labels were worth.

    Attributes:
        accepted, trained, minutes, money: Means over seeds.
        expert_share: Of the accepted labels, all seeds together.
        unreviewed, wrong: Labels that nobody reviewed, all rounds and seeds together, and how many
            are wrong (simulated truth).
        held, told: Rounds with an estimate of that noise, and in how many of them its interval
            holds the true share.
        untaught: Share of the experts' labels that show a fault the base was not taught (simulated
            truth).
    """

    accepted: float
    trained: float
    minutes: float
    money: float
    expert_share: float
    unreviewed: int
    wrong: int
    held: int
    told: int
    untaught: float


class World:
    """The finished chains of a world.

    A chain counts as far as it has come; strategies are compared on the seeds that they share.
    """

    def __init__(
        self,
        name: str,
        there: Mapping[Cell, Result],
        bases: Mapping[str, Result],
        kind: str | None = None,
    ) -> None:
        """
        Args:
            name: Of the world.
            there: Results of cells.
            bases: Results of bases, by name.
            kind: The items of test that count, one of KINDS; None takes all.
        """
        self.name, self.kind = name, kind
        self.cells = {cell: found for cell, found in there.items() if cell.chain.world == name}
        first = next(iter(self.cells.values()))
        base = bases[first["base"]]
        shown = [KINDS[int(digit)] for digit in base["kinds"]]
        self.rows = np.array([n for n, one in enumerate(shown) if kind in (None, one)])
        self.items = len(self.rows)
        self.base = self.right(base)
        self.base_by = base["test"]["by"]
        self.baselines = {n: found["accuracy"] for n, found in base["baselines"].items()}
        scenes = np.array([int(number) for number in base["scenes"].split()])
        among = np.unique(scenes[self.rows], return_inverse=True)[1]
        self.sampler = Sampler(name, among.tolist(), RESAMPLES)

    def right(self, result: Result) -> np.ndarray:
        """Right or wrong of every item that counts, shape (items,)."""
        return unpack(result["test"]["correct"], result["test"]["items"])[self.rows]

    @property
    def strategies(self) -> list[str]:
        """Strategies with a finished round."""
        return list(dict.fromkeys(cell.chain.strategy for cell in self.cells))

    def rounds(self, strategy: str) -> list[int]:
        """Rounds that a chain of a strategy has finished."""
        return sorted({cell.round for cell in self.cells if cell.chain.strategy == strategy})

    def seeds(self, strategy: str, number: int) -> tuple[int, ...]:
        """Seeds whose chain has come so far."""
        found = (c for c in self.cells if (c.chain.strategy, c.round) == (strategy, number))
        return tuple(sorted(cell.chain.seed for cell in found))

    def results(self, strategy: str, number: int) -> list[Result]:
        """Results of a round, in the order of the seeds."""
        return [self.result(strategy, s, number) for s in self.seeds(strategy, number)]

    def result(self, strategy: str, seed: int, number: int) -> Result:
        """One cell's."""
        return self.cells[Cell(Chain(self.name, strategy, seed), number)]

    def in_force(self, strategy: str, seed: int, number: int) -> np.ndarray:
        """Right answers of the model that a chain has after a round."""
        for earlier in range(number, 0, -1):
            found = self.result(strategy, seed, earlier)
            if found["gate"]["verdict"] == "pass":
                return self.right(found)
        return self.base

    def point(self, strategy: str, number: int) -> Point | None:
        """A strategy after a round; None if no chain has come so far."""
        seeds, found = self.seeds(strategy, number), self.results(strategy, number)
        if not found:
            return None
        return Point(
            strategy=strategy,
            round=number,
            seeds=seeds,
            spent={
                axis: np.array([result[name] for result in found], float)
                for axis, name in AXES.items()
            },
            correct=np.stack([self.right(result) for result in found]),
            in_force=np.stack([self.in_force(strategy, seed, number) for seed in seeds]),
        )

    def points(self, strategies: Sequence[str]) -> list[Point]:
        """All rounds of some strategies."""
        return [p for s in strategies for n in self.rounds(s) if (p := self.point(s, n))]

    def accuracy(self, strategy: str, number: int) -> Estimate:
        """On test, of the challenger, with Student's interval over seeds."""
        return over_seeds([self.right(r).mean() for r in self.results(strategy, number)])

    def slice_accuracy(self, strategy: str, number: int, name: str) -> float:
        """The same of images of one kind, the mean over seeds."""
        found = [r["test"]["by"]["kind"].get(name) for r in self.results(strategy, number)]
        return float(np.mean([value for value in found if value is not None] or [np.nan]))

    def spending(self, strategy: str, number: int) -> Spending:
        """What a strategy's chains had cost after a round."""
        found = self.results(strategy, number)
        so_far = [
            self.result(strategy, seed, earlier)
            for seed in self.seeds(strategy, number)
            for earlier in range(1, number + 1)
        ]
        accepted = [sum(result["accepted"].values()) for result in found]
        experts = [result["truth"]["experts"] for result in found]
        told = [held for result in so_far if (held := estimate_held(result)) is not None]
        labels = sum(one["labels"] for one in experts)
        unreviewed = [result["truth"]["unreviewed"] for result in so_far]
        return Spending(
            accepted=float(np.mean(accepted)),
            trained=float(np.mean([result["trained"] for result in found])),
            minutes=float(np.mean([result["minutes"] for result in found])),
            money=float(np.mean([result["money"] for result in found])),
            expert_share=labels / max(1, sum(accepted)),
            unreviewed=sum(one["labels"] for one in unreviewed),
            wrong=sum(one["wrong"] for one in unreviewed),
            held=sum(told),
            told=len(told),
            untaught=sum(one["untaught"] for one in experts) / max(1, labels),
        )

    def efficiency(
        self, engine: str, number: int, reference: Sequence[str], axis: str
    ) -> Estimate | None:
        """How many times as much some strategies need to be as good as the engine after a round.

        None where one of them has no finished round, or the engine has spent nothing.
        """
        own = self.point(engine, number)
        others = self.points(reference)
        if own is None or not others or not own.spent[axis].any():
            return None
        weights = self.sampler.seeds(engine, own.seeds)
        budget = (own.spent[axis][:, None] * weights).sum(0)
        target = (self.sampler.accuracy(own.correct) * weights).sum(0)
        return curves.efficiency(
            curves.curve(others, self.base, axis, self.sampler), budget, target
        )

    def less_engine(self, engine: str, strategy: str, number: int) -> Estimate | None:
        """Accuracy of a strategy less the engine's after the same round; None without both."""
        own, other = self.point(engine, number), self.point(strategy, number)
        if own is None or other is None or not {*own.seeds} & {*other.seeds}:
            return None
        return curves.difference(own, other, self.sampler)

    def gap_closed(self, strategy: str, number: int, ceiling: str | None) -> Estimate | None:
        """Share of the gap from base to the simulated expert, or to a strategy's last round."""
        point = self.point(strategy, number)
        if point is None:
            return None
        top: Point | float = self.baselines[EXPERT]
        if ceiling is not None:
            rounds = self.rounds(ceiling)
            if not rounds:
                return None
            top = self.point(ceiling, rounds[-1])
        return curves.closed(self.base, point, top, self.sampler)


def estimate_held(result: Result) -> bool | None:
    """Whether a round's interval of the noise holds the true share; None without an estimate."""
    true, noise = result["truth"]["unreviewed"], result["noise"]
    if not true["labels"] or noise.get("rate") is None:
        return None
    return noise["low"] <= true["wrong"] / true["labels"] <= noise["high"]


def worlds(grid: Grid, there: Mapping[str, Result], kind: str | None = None) -> dict[str, World]:
    """The worlds of which something is finished, in the grid's order.

    Args:
        there: Results by the name of their step, those of bases among them.
        kind: The items of test that count, one of KINDS; None takes all.
    """
    cells = {
        Cell(Chain(a["world"], a["strategy"], a["seed"]), a["round"]): found
        for found in there.values()
        if (a := found["cell"]) and found["base"] in there
    }
    # A chain counts up to its first gap.
    whole = {
        cell: found
        for cell, found in cells.items()
        if all(Cell(cell.chain, earlier) in cells for earlier in range(1, cell.round))
    }
    named = {cell.chain.world for cell in whole}
    return {name: World(name, whole, there, kind) for name in grid.worlds if name in named}
