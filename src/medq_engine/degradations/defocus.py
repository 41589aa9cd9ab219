"""Defocus blur.

Cause: the tissue or the retina is not in the focal plane, so a point becomes the image of the round
aperture: a disk, which keeps sharp-edged circles of confusion where a Gaussian would not.

Simulation: convolution with a disk, anti-aliased at its edge.

Source: Goodman, Introduction to Fourier Optics, 3rd edition 2005, section 6.4.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import short_side
from medq_engine.degradations._optics import convolve
from medq_engine.degradations.base import Degradation

RADIUS = 0.04  # of the short side, at strength 1


@simulator
def defocus(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Disk blur; strength 1 is a radius of 0.04 of the short side. `rng` is not used."""
    radius = RADIUS * strength * short_side(image)
    axis = np.arange(-np.ceil(radius), np.ceil(radius) + 1)
    distance = np.hypot(axis[:, None], axis[None, :])
    return convolve(image, np.clip(radius + 0.5 - distance, 0, 1))


DEGRADATION = Degradation(
    name="defocus",
    label="defocus blur",
    modalities=("histopathology", "fundus"),
    scope="modality-specific",
    cause="The object is out of the focal plane.",
    source="Goodman, Introduction to Fourier Optics, 2005, section 6.4",
    simulate=defocus,
    mild=0.4,
    severe=0.9,
)
