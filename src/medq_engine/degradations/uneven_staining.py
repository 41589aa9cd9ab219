"""Uneven staining.

Cause: section thickness, reagent flow and washing differ over the slide, so haematoxylin and eosin
bind more in one region than in another.

Simulation: the optical density is unmixed into the two stains, each is scaled by its own smooth
field (log-normal gain), and the picture is formed again; clear glass stays clear. A grey picture
has one stain, its optical density.

Source: Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution,
Analytical and Quantitative Cytology and Histology 23, 2001.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import smooth_field
from medq_engine.degradations._optics import absorb, optical_density
from medq_engine.degradations.base import Degradation

HAEMATOXYLIN, EOSIN = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)
RANGE = 1.5  # natural log of the gain in the most and the least stained place, at strength 1


@simulator
def uneven_staining(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Patchy stain; strength 1 stains 4.5 times more and less than normal at the extremes."""
    stains = np.array([HAEMATOXYLIN, EOSIN]) if image.shape[2] == 3 else np.ones((1, 1))
    amounts = np.maximum(optical_density(image) @ np.linalg.pinv(stains), 0)
    shared = smooth_field(image.shape, 1, rng)
    fields = [0.7 * shared + 0.3 * smooth_field(image.shape, 2, rng) for _ in stains]
    gains = np.exp(strength * RANGE * np.stack(fields, axis=2))
    return absorb(image, amounts * (gains - 1) @ stains)


DEGRADATION = Degradation(
    name="uneven-staining",
    label="uneven staining",
    modalities=("histopathology",),
    scope="modality-specific",
    cause="The dyes bind unevenly over the section.",
    source="Ruifrok and Johnston, Analytical and Quantitative Cytology and Histology 23, 2001",
    simulate=uneven_staining,
    mild=0.5,
    severe=1.0,
)
