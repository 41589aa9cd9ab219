"""Blur.

Cause: finite resolution: a smooth reconstruction kernel, a large focal spot or small involuntary
movement spread every point into about a Gaussian.

Simulation: convolution with a Gaussian point spread function.

Source: Bushberg et al., The Essential Physics of Medical Imaging, 3rd edition 2011, chapter 4.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import soften
from medq_engine.degradations.base import Degradation

SIGMA = 0.04  # of the short side, at strength 1


@simulator
def blur(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur; strength 1 is a sigma of 0.04 of the short side. `rng` is not used."""
    return soften(image, SIGMA * strength)


DEGRADATION = Degradation(
    name="blur",
    label="blur",
    modalities=("mri", "ct"),
    scope="general",
    family="blur",
    aspect="clarity",
    cause="The point spread function of the scan is too wide.",
    parameters=(
        "Strength drives the sigma of the Gaussian, to 0.04 of the short side at 1.",
        "Nothing is drawn.",
    ),
    source="Bushberg et al., The Essential Physics of Medical Imaging, 2011, chapter 4",
    simulate=blur,
    measure="ms-ssim",
    mild=(0.03, 0.06),
    severe=(0.12, 0.2),
)
