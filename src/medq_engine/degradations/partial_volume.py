"""Partial volume.

Cause: a thick slice holds structures that change along the body's axis; each pixel is their mean,
so edges that run obliquely through the slice blend and small vessels and bones fade. The detector
averages intensities and not attenuations, which adds dark streaks at the ends of dense bones.

Simulation: the slice is a stack of thin ones, each of them the picture with its structures
displaced by a smooth field (growth or taper, and a random part) in proportion to the depth. Their
mean replaces the picture; the reconstruction of what the logarithm of the mean intensity of the two
halves of the stack has less than their mean line integral is added.

Source: Glover and Pelc, Nonlinear partial volume artifacts in x-ray computed tomography, Medical
Physics 7, 1980.
"""

import numpy as np
from scipy import ndimage

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates, short_side, smooth_field
from medq_engine.degradations._sinogram import add_error, project, to_grid
from medq_engine.degradations.base import Degradation

REACH = 0.12  # typical displacement from end to end of the slice, in short sides, at strength 1
CELLS = 3  # hills of the random part along a side
DOUBLINGS = 4  # the stack has 2 to the power of this many thin slices


def _displaced(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Image (H, W, C) whose structures are displaced by fields (H, W) in pixels."""
    grid = np.indices(image.shape[:2], dtype=np.float32)
    place = (grid[0] - rows, grid[1] - columns)
    planes = [
        ndimage.map_coordinates(p, place, order=1, mode="nearest") for p in np.moveaxis(image, 2, 0)
    ]
    return np.stack(planes, axis=2)


@simulator
def partial_volume(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A thick slice; at strength 1 structures wander by 0.12 of the short side from end to end."""
    taper = rng.choice((-1, 1)) * rng.uniform(0.3, 0.6)
    wander = [smooth_field(image.shape, CELLS, rng) for _ in range(2)]
    reach = strength * REACH * short_side(image)
    fields = [
        reach * (2 * taper * x + w) for x, w in zip(coordinates(image.shape), wander, strict=True)
    ]
    # Doubling a stack: two copies of it, displaced by half of its length to either side.
    stack = image
    for doubling in range(DOUBLINGS):
        step = [f / 2 ** (DOUBLINGS - doubling + 1) for f in fields]
        upper, lower = _displaced(stack, *step), _displaced(stack, *(-f for f in step))
        stack = (upper + lower) / 2
    # -log((exp(-p) + exp(-q)) / 2) = (p + q) / 2 - log(cosh((p - q) / 2))
    halves = project(to_grid(upper) - to_grid(lower)) / 2
    return add_error(stack, -np.log(np.cosh(halves)))


DEGRADATION = Degradation(
    name="partial-volume",
    label="partial volume",
    modalities=("ct",),
    scope="modality-specific",
    family="blur",
    aspect="clarity",
    cause="A thick slice averages structures that change along the axis of the body.",
    parameters=(
        "strength: displacement from end to end of the slice, to 0.12 of the short side (typical)",
        "seed: growth or taper of the body, and a smooth random field of displacement",
    ),
    source="Glover and Pelc, Medical Physics 7, 1980",
    simulate=partial_volume,
    measure="ms-ssim",
    mild=(0.014, 0.026),
    severe=(0.045, 0.08),
)
