"""A made-up world of kinds with known precision and cure, for tests of what learns from rounds."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import norm

from medq_engine.payoff import PAYOFF
from medq_engine.tables import table
from medq_engine.vocabulary import MODALITIES

ITEMS = 13
PERSISTENCE = 0.85
"""Share of an item's luck that stays from one model to the next: with this one, as measured on the
embedded benchmark, about one answer in seven changes and wrong answers correlate by 0.7."""


@dataclass
class World:
    """Kinds with a true error, a precision of retrieval and a cure, and models that learn them."""

    error: np.ndarray
    precision: np.ndarray
    cure: np.ndarray
    luck: np.ndarray
    persistence: float = PERSISTENCE

    @classmethod
    def draw(cls, kinds: int, rng: np.random.Generator, *, alike: bool = False) -> "World":
        """Kinds that differ in precision and cure as in the embedded world, or do not."""
        precision = np.full(kinds, 0.3) if alike else rng.beta(0.8, 1.8, kinds)
        cure = np.full(kinds, 0.05) if alike else 0.05 * rng.gamma(0.8, 1 / 0.8, kinds)
        luck = rng.normal(size=(kinds, ITEMS))
        return cls(rng.beta(1.8, 1.8, kinds), precision, cure, luck)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """Names; modalities take turns."""
        return [(MODALITIES[k % 5], f"fault {k}") for k in range(len(self.error))]

    def wrong(self, rng: np.random.Generator) -> np.ndarray:
        """Wrong answers on dev of a model that was just trained, shape (kinds,)."""
        fresh = rng.normal(size=self.luck.shape)
        ease = np.sqrt(self.persistence) * self.luck + np.sqrt(1 - self.persistence) * fresh
        return (ease < norm.ppf(self.error)[:, None]).sum(1)

    def learn(self, labels: np.ndarray) -> None:
        """Every label of a kind takes its cure off what is left of the kind's error."""
        self.error = np.clip(self.error * (1 - self.cure) ** labels, 1e-9, 1 - 1e-9)

    def round(
        self, readings: np.ndarray, before: np.ndarray, number: int, rng: np.random.Generator
    ) -> tuple[pl.DataFrame, np.ndarray]:
        """Spend readings, train, answer dev again: the round's rows and the new wrong answers."""
        hits = rng.binomial(readings, self.precision)
        self.learn(hits)
        after = self.wrong(rng)
        rows = [
            dict(
                zip(PAYOFF, (number, *kind, r, h, h, ITEMS, was, now), strict=True),
            )
            for kind, r, h, was, now in zip(self.kinds, readings, hits, before, after, strict=True)
        ]
        return table(rows, PAYOFF), after
