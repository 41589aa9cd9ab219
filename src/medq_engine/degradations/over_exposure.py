"""Over-exposure.

Cause: the lamp is too near or the gain too high; the sensor saturates, and detail in bright tissue
is lost for good.

Simulation: exposure is raised by some stops in linear light, then clipped by the sensor and shown
with the display's gamma; a little random, as automatic exposure is.

Source: Ali et al., An objective comparison of detection and segmentation algorithms for artefacts
in clinical endoscopy, Scientific Reports 10, 2020 (saturation).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations.base import Degradation

STOPS = 2.8  # at strength 1
GAMMA = 2.2


@simulator
def over_exposure(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Saturated picture; strength 1 is about 2.8 stops too many."""
    stops = STOPS * strength * rng.uniform(0.9, 1.1)
    return image * 2 ** (stops / GAMMA)


DEGRADATION = Degradation(
    name="over-exposure",
    label="over-exposure",
    modalities=("endoscopy",),
    scope="general",
    family="over-exposure",
    aspect="contrast",
    cause="More light than the sensor can count.",
    parameters=(
        "strength: exposure, up to 2.8 stops too many",
        "seed: the stops vary by +-10 %",
    ),
    source="Ali et al., Scientific Reports 10, 2020",
    simulate=over_exposure,
    measure="ms-ssim",
    mild=(0.06, 0.10),
    severe=(0.24, 0.36),
)
