"""Sensor noise.

Cause: a small, warm sensor at high gain: read-out noise, the same everywhere, and shot noise, which
grows with the root of the light; each colour has its own.

Simulation: Gaussian noise of that variance on each channel.

Source: Healey and Kondepudy, Radiometric CCD camera calibration and noise estimation, IEEE
Transactions on Pattern Analysis and Machine Intelligence 16, 1994.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import noise
from medq_engine.degradations.base import Degradation

SIGMA = 0.18  # of white, at strength 1, in a white place


@simulator
def gaussian_noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Coloured grain; strength 1 is a noise of 0.18 of white in white, half of that in black."""
    return image + strength * SIGMA * np.sqrt(0.25 + 0.75 * image) * noise(image.shape, rng)


DEGRADATION = Degradation(
    name="gaussian-noise",
    label="sensor noise",
    modalities=("endoscopy", "fundus"),
    scope="general",
    family="noise",
    aspect="noise",
    cause="Read-out and shot noise of the sensor at high gain.",
    parameters=(
        "Strength drives the standard deviation, to 0.18 of white at 1 in a white place, half of "
        "that in a black one.",
        "Drawn: the noise of every pixel and channel.",
    ),
    source="Healey and Kondepudy, IEEE TPAMI 16, 1994",
    simulate=gaussian_noise,
    measure="ms-ssim",
    mild=(0.07, 0.12),
    severe=(0.2, 0.34),
)
