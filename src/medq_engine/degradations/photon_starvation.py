"""Photon starvation.

Cause: along the widest diameter, through both shoulders or both arms beside the body, hardly a
photon is left, and the electronics' own noise takes over; the rays of those few views err wildly
and streak the body from side to side, while the rest of it stays clean.

Simulation: two arms lie outside the picture, on the long axis of the body; rays through body and
arms are measured with Poisson counts and noise of the electronics. The reconstruction of the error
is added. The number of photons falls with the square of strength.

Source: Hsieh, Adaptive streak artifact reduction in computed tomography resulting from excessive
x-ray photon noise, Medical Physics 25, 1998.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates
from medq_engine.degradations._sinogram import (
    ANGLES,
    add_error,
    count,
    project,
    ray_offsets,
    to_grid,
)
from medq_engine.degradations.base import Degradation

PHOTONS = 3e3  # emitted a ray, at strength 1
ELECTRONIC = 3.0  # noise of the electronics, in photons
BODY, ARM = 4.5, 3.0  # largest line integral of the body and of each arm
ARM_DISTANCE = 0.75  # of the arms from the middle of the picture, in sides


def _long_axis(plane: np.ndarray) -> float:
    """Angle of the long axis of a slice (n, n), from the columns to the rows."""
    rows, columns = coordinates(plane.shape)
    weight = plane / max(plane.sum(), 1e-6)
    rows, columns = rows - (weight * rows).sum(), columns - (weight * columns).sum()
    spread_rows, spread_columns = (weight * rows**2).sum(), (weight * columns**2).sum()
    return 0.5 * np.arctan2(2 * (weight * rows * columns).sum(), spread_columns - spread_rows)


@simulator
def photon_starvation(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Streaks along the long axis; strength 1 emits 3000 photons a ray."""
    tilt, height = rng.uniform(-0.06, 0.06), rng.uniform(-0.08, 0.08)
    radius = rng.uniform(0.10, 0.16)
    plane = to_grid(image)
    rays = project(plane)
    display = max(rays.max(), 1e-6) / BODY
    offsets = ray_offsets(plane.shape[0])
    angle = _long_axis(plane) + tilt
    path = rays / display
    for side in (-1, 1):
        row = side * ARM_DISTANCE * np.sin(angle) + height * np.cos(angle)
        column = side * ARM_DISTANCE * np.cos(angle) - height * np.sin(angle)
        distance = offsets - (row * np.sin(ANGLES) + column * np.cos(ANGLES))[:, None]
        path = path + ARM * np.sqrt(np.maximum(1 - (distance / radius) ** 2, 0))
    error = count(path, PHOTONS / strength**2, rng, ELECTRONIC) - path
    return add_error(image, display * error)


DEGRADATION = Degradation(
    name="photon-starvation",
    label="photon starvation",
    modalities=("ct",),
    scope="modality-specific",
    family="photon-starvation",
    aspect="noise",
    cause="Hardly a photon passes the widest diameter of the body.",
    parameters=(
        "strength: photons emitted a ray, falling with its square, to 3000 at strength 1",
        "seed: size of the arms (radius 0.10-0.16 of the side) and their height (+-0.08)",
        "seed: tilt of the streaks against the long axis (+-0.06 rad), and the counts",
    ),
    source="Hsieh, Medical Physics 25, 1998",
    simulate=photon_starvation,
    measure="ms-ssim",
    mild=(0.03, 0.06),
    severe=(0.11, 0.20),
)
