"""Blur.

Cause: finite resolution: a coarse matrix or a smooth reconstruction kernel, partial volume, or
small involuntary movement, spread every point into about a Gaussian.

Simulation: convolution with a Gaussian point spread function.

Source: Bushberg et al., The Essential Physics of Medical Imaging, 3rd edition 2011, chapter 4.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import soften
from medq_engine.degradations.base import Degradation

SIGMA = 0.03  # of the short side, at strength 1


@simulator
def blur(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur; strength 1 is a sigma of 0.03 of the short side. `rng` is not used."""
    return soften(image, SIGMA * strength)


DEGRADATION = Degradation(
    name="blur",
    label="blur",
    modalities=("mri", "ct"),
    scope="general",
    cause="The point spread function of the scan is too wide.",
    source="Bushberg et al., The Essential Physics of Medical Imaging, 2011, chapter 4",
    simulate=blur,
    mild=0.4,
    severe=0.9,
)
