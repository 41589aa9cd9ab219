"""Uneven staining.

Cause: section thickness, reagent flow and washing differ over the slide, so haematoxylin and eosin
bind more in one region than in another.

Simulation: colour deconvolution, then the exposure to each dye follows a smooth field of its own
(log-normal), saturating by the Langmuir isotherm, and the picture is formed again; clear glass
stays clear. A grey picture has one dye.

Source: Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution,
Analytical and Quantitative Cytology and Histology 23, 2001.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import smooth_field
from medq_engine.degradations._stains import restain, unmix, uptake
from medq_engine.degradations.base import Degradation

RANGE = 3.4  # natural log of the exposure in the most and least stained places, at strength 1


@simulator
def uneven_staining(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Patchy stain; strength 1 exposes to 30 times more and less dye at the extremes."""
    amounts = unmix(image)
    shared = smooth_field(image.shape, 1, rng)
    own = np.stack([smooth_field(image.shape, 2, rng) for _ in range(amounts.shape[2])], axis=2)
    field = 0.75 * shared[..., None] + 0.25 * own
    return restain(image, amounts, uptake(amounts, np.exp(strength * RANGE * field)))


DEGRADATION = Degradation(
    name="uneven-staining",
    label="uneven staining",
    modalities=("histopathology",),
    scope="modality-specific",
    family="uneven-staining",
    aspect="none",
    cause="The dyes bind unevenly over the section.",
    parameters=(
        "strength: exposure at the extremes, up to 30 times more and less; binding saturates",
        "seed: a smooth field, about one hill a side, that all dyes share, and one for each dye",
    ),
    source="Ruifrok and Johnston, Analytical and Quantitative Cytology and Histology 23, 2001",
    simulate=uneven_staining,
    measure="ms-ssim",
    mild=(0.04, 0.07),
    severe=(0.12, 0.20),
)
