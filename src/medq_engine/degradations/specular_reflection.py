"""Specular reflection.

Cause: the light sits beside the camera and the mucosa is wet, so wherever the surface faces the
lens it mirrors the lamp straight into the sensor, which saturates.

Simulation: the peaks of a random relief, likelier where the tissue is already bright, become white
with a small glow; the share of the picture above the threshold grows with strength.

Source: Tchoulack et al., A video stream processor for real-time detection and correction of
specular reflections in endoscopic images, IEEE NEWCAS-TAISA 2008.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import smooth_field, soften
from medq_engine.degradations._optics import lay_over, luminance
from medq_engine.degradations.base import Degradation

COVERAGE = 0.11  # share of saturated pixels, at strength 1


@simulator
def specular_reflection(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Saturated highlights; strength 1 covers 11 % of the picture."""
    lit = soften(luminance(image), 0.03)
    folds, ripples = smooth_field(image.shape, 5, rng), smooth_field(image.shape, 20, rng)
    relief = 0.4 * folds + ripples + 0.35 * (lit - lit.mean()) / (lit.std() + 0.05)
    threshold = np.quantile(relief, 1 - COVERAGE * strength)
    highlight = np.clip((relief - threshold) / 0.12, 0, 1)
    return lay_over(image, 1.0, np.maximum(highlight, 0.6 * soften(highlight, 0.015)))


DEGRADATION = Degradation(
    name="specular-reflection",
    label="specular reflection",
    modalities=("endoscopy",),
    scope="modality-specific",
    cause="The wet surface mirrors the lamp into the camera.",
    source="Tchoulack et al., IEEE NEWCAS-TAISA, 2008",
    simulate=specular_reflection,
    mild=0.25,
    severe=0.9,
)
