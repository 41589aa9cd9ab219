"""Lens spots.

Cause: dust or droplets on the objective lie far out of focus: each becomes an even, soft-edged disk
that takes light away, or sends stray light of the flash into the camera.

Simulation: three to nine disks, dark (absorbing) or pale (scattering), more opaque with strength.

Source: Shen et al., Modeling and enhancing low-quality retinal fundus images, IEEE Transactions on
Medical Imaging 40, 2021 (retinal artifacts).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates, pick_point, soften
from medq_engine.degradations._optics import channels, lay_over, luminance
from medq_engine.degradations.base import Degradation

STRAY_LIGHT = (0.85, 0.82, 0.75)


@simulator
def lens_spots(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Out-of-focus spots; at strength 1 a spot hides three quarters of what is behind it."""
    rows, columns = coordinates(image.shape)
    lit = soften(luminance(image), 0.05)
    for _ in range(int(rng.integers(3, 10))):
        row, column = pick_point(lit, rng)
        radius = rng.uniform(0.025, 0.065)
        distance = np.hypot(rows - row, columns - column)
        mask = np.clip((1.4 * radius - distance) / (0.8 * radius), 0, 1)
        light = channels(STRAY_LIGHT, image) if rng.random() < 0.5 else 0.0
        image = lay_over(image, light, 0.75 * strength * mask)
    return image


DEGRADATION = Degradation(
    name="lens-spots",
    label="lens spots",
    modalities=("fundus",),
    scope="modality-specific",
    cause="Dust on the objective, far out of focus.",
    source="Shen et al., IEEE Transactions on Medical Imaging 40, 2021",
    simulate=lens_spots,
    mild=0.45,
    severe=0.95,
)
