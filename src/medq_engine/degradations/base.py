"""The interface of every degradation: one physical cause, one strength, one seeded function."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medq_engine.vocabulary import Modality, Severity


@dataclass(frozen=True)
class Degradation:
    """One attribute of image quality that can be simulated.

    Args:
        name: Identifier, kebab-case, as in tables and file names (`metal-streak`).
        label: What a reader calls it, as in questions and answers (`metal streak`).
        modalities: Where it occurs.
        scope: `modality-specific`, or `general` if any camera or scanner can show it.
        cause: The physical cause, one sentence.
        source: Paper, textbook or standard that the simulation follows.
        simulate: `(image, strength, rng) -> image`. The image is float32 in [0, 1], shape (H, W) or
            (H, W, 3); the result keeps shape, range and dtype. Strength is in [0, 1]; at 0 the
            result equals the image, and the full-reference loss grows with it.
        mild: Strength of the level `mild`: visible to a person, diagnosis still possible.
        severe: Strength of the level `severe`: anatomy still recognisable, not fit for diagnosis.
    """

    name: str
    label: str
    modalities: tuple[Modality, ...]
    scope: str
    cause: str
    source: str
    simulate: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    mild: float
    severe: float

    def apply(self, image: np.ndarray, severity: Severity, rng: np.random.Generator) -> np.ndarray:
        """Degrade `image` (float32 in [0, 1]) at `severity`; `none` is the identity."""
        strength = {"none": 0.0, "mild": self.mild, "severe": self.severe}[severity]
        return self.simulate(image, strength, rng)
