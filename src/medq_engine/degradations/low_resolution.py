"""Low resolution.

Cause: too coarse a matrix: every cell of the detector or of the acquisition holds the mean of what
it covers, and the screen shows the cells as they are, so that slanted edges become stairs.

Simulation: the mean over each cell of a coarse grid (the integral over the area, so that nothing
aliases), shown by the nearest neighbour. Cells are often longer one way, as a scan saves
phase-encoding lines. Cells smaller than a pixel leave the picture as it is.

Source: Bushberg et al., The Essential Physics of Medical Imaging, 3rd edition 2011, chapter 4
(sampling and detector aperture).
"""

import numpy as np
from PIL import Image

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import short_side
from medq_engine.degradations.base import Degradation

CELL = 0.09  # side of a cell in short sides, at strength 1


@simulator
def low_resolution(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Square or oblong cells; strength 1 has them 0.09 of the short side long."""
    oblong, axis = rng.uniform(1.0, 1.5), int(rng.integers(2))
    cell = CELL * strength * short_side(image)
    sides = [cell, cell]
    sides[axis] /= oblong
    height, width = image.shape[:2]
    grid = [max(1, round(n / max(1.0, s))) for n, s in zip((height, width), sides, strict=True)]

    def coarse(plane: np.ndarray) -> np.ndarray:
        cells = Image.fromarray(plane).resize((grid[1], grid[0]), Image.Resampling.BOX)
        return np.asarray(cells.resize((width, height), Image.Resampling.NEAREST))

    planes = np.ascontiguousarray(np.moveaxis(image, 2, 0))
    return np.stack([coarse(plane) for plane in planes], axis=2)


DEGRADATION = Degradation(
    name="low-resolution",
    label="low resolution",
    modalities=("mri", "ct", "endoscopy"),
    scope="general",
    family="blur",
    aspect="clarity",
    cause="The matrix of the scan or of the sensor is too coarse.",
    parameters=(
        "Strength drives the side of a cell, to 0.09 of the short side at 1.",
        "Drawn: the axis along which cells are shorter, by a factor of 1 to 1.5.",
    ),
    source="Bushberg et al., The Essential Physics of Medical Imaging, 2011, chapter 4",
    simulate=low_resolution,
    measure="ms-ssim",
    mild=(0.03, 0.07),
    severe=(0.13, 0.2),
)
