"""Truncation artifact.

Cause: the body is wider than the field of measurement, so its projections end on the last detector
element at a value far from air; the ramp filter answers to that step, and a bright band follows the
border of the field.

Simulation: rays that pass the middle of the body at more than the radius of the field are lost; the
reconstruction of what they carried is subtracted. The share of the body that lies outside the field
grows with the square of strength.

Source: Ohnesorge et al., Efficient correction for CT image artifacts caused by objects extending
outside the scan field of view, Medical Physics 27, 2000.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates
from medq_engine.degradations._sinogram import ANGLES, add_error, project, ray_offsets, to_grid
from medq_engine.degradations.base import Degradation

OUTSIDE = 0.55  # share of the body that lies outside the field, at strength 1
AIR = 0.1  # attenuation, where dense bone is 1, below which a pixel is not body


@simulator
def truncation(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A bright border of the field; strength 1 leaves 55 % of the body outside it."""
    off_centre = rng.uniform(-0.03, 0.03, 2)
    plane = to_grid(image)
    size = plane.shape[0]
    rows, columns = coordinates(plane.shape)
    weight = plane / max(plane.sum(), 1e-6)
    row, column = (weight * rows).sum() + off_centre[0], (weight * columns).sum() + off_centre[1]
    radii = np.hypot(rows - row, columns - column)[plane > AIR]
    field = np.quantile(radii, 1 - OUTSIDE * strength**2) if radii.size else 1.0
    distance = np.abs(ray_offsets(size) - (row * np.sin(ANGLES) + column * np.cos(ANGLES))[:, None])
    lost = np.clip((distance - field) * size + 0.5, 0, 1)
    return add_error(image, -lost * project(plane))


DEGRADATION = Degradation(
    name="truncation",
    label="truncation artifact",
    modalities=("ct",),
    scope="modality-specific",
    family="truncation",
    aspect="none",
    cause="The body is wider than the field of measurement, so its projections are cut off.",
    parameters=(
        "strength: share of the body outside the field, with its square, to 0.55 at strength 1",
        "seed: middle of the field, up to 0.03 of the side from the middle of the body",
    ),
    source="Ohnesorge et al., Medical Physics 27, 2000",
    simulate=truncation,
    measure="ms-ssim",
    mild=(0.04, 0.08),
    severe=(0.22, 0.38),
)
