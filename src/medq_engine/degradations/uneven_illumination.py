"""Uneven illumination.

Cause: the lamp of an endoscope, or the flash through an ill-centred pupil, lights one part of the
scene; the rest lies in shadow.

Simulation: gain in linear light that falls off with the distance from a point at one side of the
field as the light of a small source does, shown with the display's gamma. The best-lit place keeps
its light and gains a little, as automatic exposure gives it.

Source: Shen et al., Modeling and enhancing low-quality retinal fundus images, IEEE Transactions on
Medical Imaging 40, 2021 (light transmission disturbance).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_stop import circle, field_of_view
from medq_engine.degradations._fields import coordinates
from medq_engine.degradations.base import Degradation

FALL_OFF = 5.0  # relative squared distance at one radius of the field, at strength 1
GAMMA = 2.2


@simulator
def uneven_illumination(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Light from one side; at strength 1 the far rim keeps about a hundredth of the light."""
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 0.7)
    field = field_of_view(image)
    row, column, radius = circle(field)
    rows, columns = coordinates(image.shape)
    y = (rows - row) / radius - offset * np.sin(angle)
    x = (columns - column) / radius - offset * np.cos(angle)
    light = 1 / (1 + FALL_OFF * strength * (y * y + x * x)) ** 2
    light *= (1 + 0.3 * strength) / light[field > 0.5].max()
    return image * (light ** (1 / GAMMA))[..., None]


DEGRADATION = Degradation(
    name="uneven-illumination",
    label="uneven illumination",
    modalities=("endoscopy", "fundus"),
    scope="modality-specific",
    family="uneven-illumination",
    aspect="none",
    cause="The light falls on one part of the scene.",
    parameters=(
        "strength: fall-off of the light, to 1/70 at 1.2 radii of the field from the lit place",
        "seed: direction of the lit place, and its distance from the middle (0.4 to 0.7 radii)",
    ),
    source="Shen et al., IEEE Transactions on Medical Imaging 40, 2021",
    simulate=uneven_illumination,
    measure="ms-ssim",
    mild=(0.08, 0.13),
    severe=(0.28, 0.40),
)
