"""Vignette.

Cause: a wide-angle lens lights and images its rim less than its middle: the illuminance falls with
the fourth power of the cosine of the angle, and faster where the barrel cuts into oblique beams.

Simulation: gain in linear light cos^n of the angle of view, symmetric about the middle of the
field; the tangent of the angle grows in proportion to the distance from the middle.

Source: Kingslake, Optics in Photography, SPIE Press, 1992 (the cosine-fourth law).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_stop import circle, field_of_view
from medq_engine.degradations._fields import coordinates
from medq_engine.degradations.base import Degradation

TANGENT = 2.6  # of the angle of view at the rim, at strength 1: 69 degrees
GAMMA = 2.2


@simulator
def vignette(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Dark rim; at strength 1 it keeps at most a sixtieth of the light."""
    power = rng.uniform(4, 5.5)
    row, column, radius = circle(field_of_view(image))
    rows, columns = coordinates(image.shape)
    square = ((rows - row) ** 2 + (columns - column) ** 2) / radius**2
    cosine = 1 / np.sqrt(1 + (TANGENT * strength) ** 2 * square)
    return image * (cosine ** (power / GAMMA))[..., None]


DEGRADATION = Degradation(
    name="vignette",
    label="vignette",
    modalities=("endoscopy",),
    scope="modality-specific",
    family="uneven-illumination",
    aspect="none",
    cause="The lens passes less light at the rim of the field than in its middle.",
    parameters=(
        "strength: tangent of the angle of view at the rim, up to 2.6 (69 degrees)",
        "seed: power of the cosine, 4 to 5.5",
    ),
    source="Kingslake, Optics in Photography, SPIE Press, 1992",
    simulate=vignette,
    measure="ms-ssim",
    mild=(0.08, 0.13),
    severe=(0.28, 0.42),
)
