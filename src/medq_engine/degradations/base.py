"""The interface of every degradation: one physical cause, one strength, one seeded function."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medq_engine.vocabulary import Aspect, Measure, Modality, Scope

Band = tuple[float, float]


@dataclass(frozen=True)
class Degradation:
    """One attribute of image quality that can be simulated.

    Args:
        name: Identifier, kebab-case, as in tables and file names (`metal-streak`).
        label: What a reader calls it, as in questions and answers (`metal streak`).
        modalities: Where it occurs.
        scope: `modality-specific`, or `general` if any camera or scanner can show it.
        family: Attributes of one family look alike (`blur`: blur, defocus, low resolution): a
            question never offers one of them beside another. Alone in its family: its own name.
        aspect: What it takes from the first impression: clarity, contrast, noise, or none of them.
        cause: The physical cause, one sentence.
        parameters: What strength drives, to what at strength 1, and what the seed draws; a line
            each.
        source: Paper, textbook or standard that the simulation follows.
        simulate: `(image, strength, rng) -> image`. The image is float32 in [0, 1], shape (H, W) or
            (H, W, 3); the result keeps shape, range and dtype. Strength is in [0, 1]; at 0 the
            result equals the image, and the full-reference loss grows with it.
        measure: The full-reference loss that the levels are calibrated by (`calibration.loss`).
        mild: Band of that loss at the level `mild`: visible to a person, diagnosis still possible.
        severe: Band at the level `severe`: anatomy still recognisable, not fit for diagnosis.
    """

    name: str
    label: str
    modalities: tuple[Modality, ...]
    scope: Scope
    family: str
    aspect: Aspect
    cause: str
    parameters: tuple[str, ...]
    source: str
    simulate: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    measure: Measure
    mild: Band
    severe: Band
