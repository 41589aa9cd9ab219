"""Uneven illumination.

Cause: the lamp of an endoscope, or the flash through an ill-centred pupil, lights one part of the
scene; the rest lies in shadow.

Simulation: gain in linear light that falls off with the distance from an off-centre point as the
light of a small source does, shown with the display's gamma.

Source: Shen et al., Modeling and enhancing low-quality retinal fundus images, IEEE Transactions on
Medical Imaging 40, 2021 (light transmission disturbance).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates
from medq_engine.degradations.base import Degradation

FALL_OFF = 9.0  # relative squared distance at one short side, at strength 1


@simulator
def uneven_illumination(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Light from one side; at strength 1 the far corner keeps a hundredth of the light."""
    rows, columns = coordinates(image.shape)
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.45)
    y, x = rows - offset * np.sin(angle), columns - offset * np.cos(angle)
    light = (1 + 0.3 * strength) / (1 + FALL_OFF * strength * (y * y + x * x)) ** 2
    return image * (light ** (1 / 2.2))[..., None]


DEGRADATION = Degradation(
    name="uneven-illumination",
    label="uneven illumination",
    modalities=("endoscopy", "fundus"),
    scope="modality-specific",
    cause="The light falls on one part of the scene.",
    source="Shen et al., IEEE Transactions on Medical Imaging 40, 2021",
    simulate=uneven_illumination,
    mild=0.28,
    severe=0.9,
)
