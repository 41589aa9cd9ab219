"""Surgical smoke.

Cause: electrocautery and ultrasonic knives burn tissue; the droplets of the plume scatter the
scope's light back into the lens before it reaches the scene.

Simulation: single scattering in linear light, I = J t + A (1 - t), with transmission
t = exp(-density). The density is turbulent (hills of four sizes, folded by a random flow) about
the tip of the knife, thinner far from it. The smoke glows, being lit, in pale bluish grey A.

Source: Narasimhan and Nayar, Vision and the atmosphere, International Journal of Computer Vision
48, 2002; Wang et al., Variational based smoke removal in laparoscopic images, BioMedical
Engineering OnLine 17, 2018 (direct light attenuated, plus a veil).
"""

import numpy as np
from scipy import ndimage

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_stop import circle, field_of_view
from medq_engine.degradations._fields import coordinates, resize, smooth_field
from medq_engine.degradations._optics import channels, lay_over
from medq_engine.degradations.base import Degradation

DENSITY = 2.6  # optical density of the thickest smoke at strength 1
AIR_LIGHT = (0.74, 0.77, 0.80)  # encoded
GRID = 64  # smoke has no finer detail than this many cells a side
GAMMA = 2.2


def _turbulence(rng: np.random.Generator) -> np.ndarray:
    """Billows (GRID, GRID) from 0 to 1: a fractal whose coordinates a random flow displaces."""
    square = (GRID, GRID)
    billows = sum(smooth_field(square, 2**k, rng) / 1.7**k for k in (1, 2, 3, 4))
    flow = [GRID * 0.11 * smooth_field(square, 4, rng) for _ in range(2)]
    folded = ndimage.map_coordinates(billows, np.indices(square) + flow, order=1, mode="reflect")
    low, high = np.quantile(folded, (0.02, 0.98))
    return np.clip((folded - low) / (high - low), 0, 1).astype(np.float32)


@simulator
def smoke(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Billowing veil; at strength 1 the thickest smoke lets 7 % of the light through."""
    billows = resize(_turbulence(rng), image.shape)
    tip = rng.uniform(-0.5, 0.5, 2)
    field = field_of_view(image)
    row, column, radius = circle(field)
    rows, columns = coordinates(image.shape)
    square = ((rows - row) / radius - tip[0]) ** 2 + ((columns - column) / radius - tip[1]) ** 2
    density = (0.12 + 0.88 * np.clip(billows, 0, 1) ** 1.5) * (0.35 + 0.65 * np.exp(-square))
    transmission = np.exp(-DENSITY * strength * density)
    linear = lay_over(image**GAMMA, channels(AIR_LIGHT, image) ** GAMMA, (1 - transmission) * field)
    return linear ** (1 / GAMMA)


DEGRADATION = Degradation(
    name="smoke",
    label="smoke",
    modalities=("endoscopy",),
    scope="modality-specific",
    family="veil",
    aspect="contrast",
    cause="Smoke of electrocautery scatters the light before it reaches the tissue.",
    parameters=(
        "strength: optical density of the thickest smoke, up to 2.6",
        "seed: billows of the smoke, place of the knife's tip (up to 0.5 radii off the middle)",
    ),
    source="Narasimhan and Nayar, International Journal of Computer Vision 48, 2002",
    simulate=smoke,
    measure="ms-ssim",
    mild=(0.08, 0.13),
    severe=(0.28, 0.42),
)
