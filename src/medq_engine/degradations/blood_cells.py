"""Blood cells over the tissue.

Cause: vessels bleed when the specimen is taken, and red cells spread over the section. Haemoglobin
with eosin absorbs blue and green, so that they are orange-red discs, paler in the middle.

Simulation: cells on a jittered lattice, taken in the order of their distance from the middle of a
patch, so that a stronger fault has the same cells and more. Each adds its optical density: the
thickness of the biconcave disc times that of haemoglobin, tilted a little; a film of plasma lies
between them.

Source: Evans and Fung, Improved measurements of the erythrocyte geometry, Microvascular Research 4,
1972 (thickness, eq. of the average cell); Kanwal et al., BMC Medical Informatics and Decision
Making 24, 2024 (blood as an artefact).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates, short_side, soften
from medq_engine.degradations._optics import absorb, channels
from medq_engine.degradations.base import Degradation

HAEMOGLOBIN = (0.06, 0.72, 0.95)  # optical density of the thickest place in red, green, blue
PLASMA = 0.18  # share of that density in the film between crowded cells
COVER = 0.75  # share of the lattice that is taken, at strength 1


def thickness(radius: np.ndarray) -> np.ndarray:
    """Thickness of a red cell at `radius` (1 is its rim), as a share of the greatest thickness."""
    square = np.minimum(radius**2, 1)
    return np.sqrt(1 - square) * (0.81 + 7.83 * square - 4.39 * square**2) / 2.57


@simulator
def blood_cells(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A patch of red cells; strength 1 covers three quarters of the image."""
    height, width, _ = image.shape
    short = short_side(image)
    rows, columns = coordinates(image.shape)
    radius = rng.uniform(0.034, 0.046)
    pitch = 1.9 * radius
    lattice = np.mgrid[rows.min() : rows.max() : pitch, columns.min() : columns.max() : pitch]
    centres = lattice.reshape(2, -1).T
    count = len(centres)
    centres = centres + pitch * rng.uniform(-0.45, 0.45, (count, 2))
    distance = np.hypot(*(centres - rng.uniform(-0.25, 0.25, 2)).T)
    order = np.argsort(distance * rng.uniform(0.7, 1.3, count))
    sizes = radius * rng.uniform(0.85, 1.1, count)
    tilts, turns = rng.uniform(0.65, 1.0, count), rng.uniform(0, np.pi, count)

    blood = np.zeros((height, width), dtype=np.float32)
    present = np.clip(strength * COVER * count - np.arange(count), 0, 1)
    for share, cell in zip(present[present > 0], order, strict=False):
        row, column = centres[cell]
        reach = sizes[cell] + 1 / short
        top, bottom = np.searchsorted(rows[:, 0], (row - reach, row + reach))
        left, right = np.searchsorted(columns[0], (column - reach, column + reach))
        y, x = rows[top:bottom] - row, columns[:, left:right] - column
        cosine, sine = np.cos(turns[cell]), np.sin(turns[cell])
        along, across = y * cosine + x * sine, (x * cosine - y * sine) / tilts[cell]
        blood[top:bottom, left:right] += share * thickness(np.hypot(along, across) / sizes[cell])
    blood = soften(blood, 0.006) + PLASMA * np.minimum(2 * soften(blood, 0.05), 1)
    dense = min(1.0, 0.4 + 1.2 * strength)
    return absorb(image, dense * blood[..., None] * channels(HAEMOGLOBIN, image))


DEGRADATION = Degradation(
    name="blood-cells",
    label="blood cells",
    modalities=("histopathology",),
    scope="modality-specific",
    family="blood-cells",
    aspect="none",
    cause="Red blood cells that bled out of vessels lie over the tissue.",
    parameters=(
        "strength: share of the image covered, up to 75 %; density, from 40 to 100 % at 0.5",
        "seed: radius of the cells 0.034 to 0.046 of the short side, middle of the patch",
        "seed: jitter, size (+-13 %), tilt (1 to 0.65) and turn of each cell",
    ),
    source="Evans and Fung, Microvascular Research 4, 1972",
    simulate=blood_cells,
    measure="ms-ssim",
    mild=(0.05, 0.10),
    severe=(0.22, 0.36),
)
