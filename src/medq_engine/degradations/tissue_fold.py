"""Tissue fold.

Cause: the section wrinkles when it is laid on the slide, so that light crosses it two or three
times in a band; it is darker, more saturated, and thick enough to be out of focus.

Simulation: along a curved band through tissue the optical density of the neighbouring section, out
of focus, is added up to twice to the section's own.

Source: Kothari et al., Eliminating tissue-fold artifacts in histopathological whole-slide images,
Journal of Pathology Informatics 4, 2013.
"""

import numpy as np
from scipy import ndimage

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates, pick_point, short_side, soften, stroke
from medq_engine.degradations._optics import absorb, luminance, optical_density
from medq_engine.degradations.base import Degradation

LAYERS = 2.0  # thickness, in sections, that lies on top of the section at strength 1


@simulator
def tissue_fold(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A dark band of doubled tissue; strength 1 adds two layers, 0.14 of the short side wide."""
    density = soften(optical_density(image), 0.012)
    rows, columns = coordinates(image.shape)
    through = pick_point(luminance(density) ** 2 * (np.maximum(abs(rows), abs(columns)) < 0.3), rng)
    width = rng.uniform(0.8, 1.2) * (0.05 + 0.09 * strength)
    band = stroke(image.shape, through, width, 0.12, rng)
    shift = round(width * short_side(image))
    turned = ndimage.shift(density, (shift, shift, 0), order=0, mode="mirror")
    return absorb(image, strength * LAYERS * band[..., None] * turned)


DEGRADATION = Degradation(
    name="tissue-fold",
    label="tissue fold",
    modalities=("histopathology",),
    scope="modality-specific",
    cause="The section is folded over, so light crosses tissue more than once.",
    source="Kothari et al., Journal of Pathology Informatics 4, 2013",
    simulate=tissue_fold,
    mild=0.4,
    severe=0.9,
)
