"""Lens spots.

Cause: dust or droplets on the objective lie far out of focus: each becomes an even, soft-edged disk
that takes light away, or sends stray light of the flash into the camera.

Simulation: four to nine disks inside the field stop, dark (absorbing) or pale (scattering), more
opaque with strength.

Source: Shen et al., Modeling and enhancing low-quality retinal fundus images, IEEE Transactions on
Medical Imaging 40, 2021 (retinal artifacts).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_stop import field_of_view
from medq_engine.degradations._fields import coordinates, pick_point
from medq_engine.degradations._optics import channels, lay_over
from medq_engine.degradations.base import Degradation

STRAY_LIGHT = (0.85, 0.82, 0.75)
OPACITY = 0.9  # of a spot, at strength 1


@simulator
def lens_spots(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Out-of-focus spots; at strength 1 a spot hides nine tenths of what is behind it."""
    rows, columns = coordinates(image.shape)
    field = field_of_view(image)
    for _ in range(int(rng.integers(4, 10))):
        row, column = pick_point(field, rng)
        radius = rng.uniform(0.03, 0.07)
        distance = np.hypot(rows - row, columns - column)
        mask = np.clip((1.4 * radius - distance) / (0.8 * radius), 0, 1) * field
        light = channels(STRAY_LIGHT, image) if rng.random() < 0.5 else 0.0
        image = lay_over(image, light, OPACITY * strength * mask)
    return image


DEGRADATION = Degradation(
    name="lens-spots",
    label="lens spots",
    modalities=("fundus",),
    scope="modality-specific",
    family="lens-spots",
    aspect="none",
    cause="Dust on the objective, far out of focus.",
    parameters=(
        "Strength drives the opacity of every spot, to 0.9 at 1.",
        "Drawn: 4 to 9 spots anywhere in the field, radius 0.03 to 0.07 of the short side, each "
        "dark or pale with even odds.",
    ),
    source="Shen et al., IEEE Transactions on Medical Imaging 40, 2021",
    simulate=lens_spots,
    measure="ms-ssim",
    mild=(0.045, 0.08),
    severe=(0.13, 0.17),
)
