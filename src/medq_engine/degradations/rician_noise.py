"""Rician noise.

Cause: thermal noise of the patient and the receiver is Gaussian in the real and in the imaginary
channel; the magnitude of the two is Rician: never negative, and the background is lifted.

Simulation: complex Gaussian noise is added to the image, and the magnitude is shown. All channels
of a colour picture get the same noise, since a colour map is applied after the reconstruction.

Source: Gudbjartsson and Patz, The Rician distribution of noisy MRI data, Magnetic Resonance in
Medicine 34, 1995.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import noise
from medq_engine.degradations.base import Degradation

SIGMA = 0.13  # of white, in each of the two channels, at strength 1


@simulator
def rician_noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Noisy magnitude; strength 1 is a noise of 0.13 of white in each receiver channel."""
    thermal = strength * SIGMA * noise((*image.shape[:2], 2), rng)
    return np.hypot(image + thermal[..., :1], thermal[..., 1:])


DEGRADATION = Degradation(
    name="rician-noise",
    label="Rician noise",
    modalities=("mri",),
    scope="modality-specific",
    family="noise",
    aspect="noise",
    cause="Thermal noise in both receiver channels, seen through the magnitude.",
    parameters=(
        "strength: standard deviation in each receiver channel, to 0.13 of white",
        "seed: the noise, white up to the resolution of the detector",
    ),
    source="Gudbjartsson and Patz, Magnetic Resonance in Medicine 34, 1995",
    simulate=rician_noise,
    measure="ms-ssim",
    mild=(0.075, 0.125),
    severe=(0.23, 0.37),
)
