"""Under-exposure.

Cause: the lamp is too weak, too far or the flash does not fill: the sensor counts few photons.

Simulation: exposure is lowered by some stops in linear light and shown with the display's gamma. As
the light falls its photon noise falls only with the square root, and read noise not at all, so that
the dark tissue grows grainy; only noise beyond that of the full exposure is added.

Source: Janesick, Photon Transfer, SPIE Press, 2007 (shot and read noise).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import noise
from medq_engine.degradations.base import Degradation

STOPS = 4.6  # at strength 1
PHOTONS = 4000.0  # a pixel at white
READ_NOISE = 1.5  # photons
GAMMA = 2.2


@simulator
def under_exposure(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Dark, slightly noisy picture; strength 1 is about 4.6 stops too few."""
    gain = 2.0 ** (-STOPS * strength * rng.uniform(0.9, 1.1))
    counts = PHOTONS * gain * image**GAMMA
    spread = np.sqrt((1 - gain) * (counts + READ_NOISE**2))
    counts = np.maximum(counts + spread * noise(image.shape, rng), 0)
    return (counts / PHOTONS) ** (1 / GAMMA)


DEGRADATION = Degradation(
    name="under-exposure",
    label="under-exposure",
    modalities=("endoscopy", "fundus"),
    scope="general",
    family="under-exposure",
    aspect="contrast",
    cause="Too little light reaches the sensor.",
    parameters=(
        "strength: exposure, down to 4.6 stops too few; noise of 4000 photons a pixel at white "
        "in the full exposure",
        "seed: the stops vary by +-10 %; grain",
    ),
    source="Janesick, Photon Transfer, SPIE Press, 2007",
    simulate=under_exposure,
    measure="ms-ssim",
    mild=(0.06, 0.10),
    severe=(0.24, 0.36),
)
