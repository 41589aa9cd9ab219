"""Defocus blur.

Cause: the tissue or the retina is not in the focal plane, so a point becomes the image of the round
aperture: a disk, which keeps sharp-edged circles of confusion where a Gaussian would not.

Simulation: convolution with a disk, anti-aliased at its edge, of what the field stop lets in. The
field stop itself lies in the plane of the sensor and stays sharp (normalised convolution).

Source: Goodman, Introduction to Fourier Optics, 3rd edition 2005, section 6.4.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_stop import field_of_view
from medq_engine.degradations._fields import short_side
from medq_engine.degradations._optics import convolve
from medq_engine.degradations.base import Degradation

RADIUS = 0.12  # of the short side, at strength 1


@simulator
def defocus(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Disk blur; strength 1 is a radius of 0.12 of the short side. `rng` is not used."""
    radius = RADIUS * strength * short_side(image)
    axis = np.arange(-np.ceil(radius), np.ceil(radius) + 1)
    distance = np.hypot(axis[:, None], axis[None, :])
    disk = np.clip(radius + 0.5 - distance, 0, 1)
    field = field_of_view(image)[..., None]
    blurred = convolve(image * field, disk) / np.maximum(convolve(field, disk), 0.05)
    return image + field * (blurred - image)


DEGRADATION = Degradation(
    name="defocus",
    label="defocus blur",
    modalities=("histopathology", "endoscopy", "fundus"),
    scope="general",
    family="blur",
    aspect="clarity",
    cause="The object is out of the focal plane.",
    parameters=(
        "Strength drives the radius of the disk, to 0.12 of the short side at 1.",
        "Nothing is drawn.",
    ),
    source="Goodman, Introduction to Fourier Optics, 2005, section 6.4",
    simulate=defocus,
    measure="ms-ssim",
    mild=(0.02, 0.04),
    severe=(0.075, 0.11),
)
