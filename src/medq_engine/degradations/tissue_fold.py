"""Tissue fold.

Cause: the section wrinkles when it is laid on the slide, so that light crosses it two or three
times in a band; it is darker, more saturated, and thick enough to be out of focus.

Simulation: along a curved band through tissue the optical density of the neighbouring section, out
of focus, is added up to three times to the section's own.

Source: Kothari et al., Eliminating tissue-fold artifacts in histopathological whole-slide images,
Journal of Pathology Informatics 4, 2013.
"""

import numpy as np
from scipy import ndimage

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates, pick_point, short_side, soften, stroke
from medq_engine.degradations._optics import absorb, luminance
from medq_engine.degradations._stains import tissue_density
from medq_engine.degradations.base import Degradation

LAYERS = 3.0  # thickness, in sections, that lies on top of the section at strength 1


@simulator
def tissue_fold(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A dark band of doubled tissue; strength 1 adds three layers, 0.22 of the short side wide."""
    density = soften(tissue_density(image), 0.012)
    rows, columns = coordinates(image.shape)
    central = np.maximum(abs(rows), abs(columns)) < 0.3
    # Blurred widely, so that the place lies within tissue and not beside a hole.
    through = pick_point(soften(luminance(density), 0.05) ** 2 * central, rng)
    width = rng.uniform(0.8, 1.2) * (0.05 + 0.17 * strength)
    band = stroke(image.shape, through, width, 0.12, rng)
    shift = round(width * short_side(image))
    turned = ndimage.shift(density, (shift, shift, 0), order=0, mode="mirror")
    return absorb(image, strength * LAYERS * band[..., None] * turned)


DEGRADATION = Degradation(
    name="tissue-fold",
    label="tissue fold",
    modalities=("histopathology",),
    scope="modality-specific",
    family="tissue-fold",
    aspect="none",
    cause="The section is folded over, so light crosses tissue more than once.",
    parameters=(
        "strength: layers on top, up to 3; width of the band, 0.05 to 0.22 of the short side",
        "seed: a place in tissue, angle and bends of the band, width +-20 %",
    ),
    source="Kothari et al., Journal of Pathology Informatics 4, 2013",
    simulate=tissue_fold,
    measure="ms-ssim",
    mild=(0.05, 0.09),
    severe=(0.145, 0.22),
)
