"""Tissue overlap.

Cause: a piece of tissue that came loose (a floater) or another section of the ribbon lies over the
section, so that light crosses both; unlike a fold it is a broad piece with an outline of its own.

Simulation: a piece of the same picture from another place, turned, adds its optical density within
an irregular outline with a sharp, slightly thicker edge.

Source: Taqi et al., A review of artifacts in histopathology, Journal of Oral and Maxillofacial
Pathology 22, 2018.
"""

import numpy as np
from scipy import ndimage

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates, pick_point, short_side
from medq_engine.degradations._optics import absorb, luminance
from medq_engine.degradations._stains import tissue_density
from medq_engine.degradations.base import Degradation

HARMONICS = np.array([2, 3, 5, 9, 14])
ROUGHNESS = np.array([0.16, 0.10, 0.05, 0.03, 0.02])  # of the outline, as shares of the radius
EDGE = 0.35  # optical density of the curled edge


@simulator
def overlap(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A second piece of tissue; strength 1 is about 0.55 of the short side in radius."""
    density = tissue_density(image)
    short = short_side(image)
    rows, columns = coordinates(image.shape)
    central = np.maximum(abs(rows), abs(columns)) < 0.2
    origin = pick_point(luminance(density) * central, rng)
    turn, towards = rng.uniform(0.25 * np.pi, 1.75 * np.pi), rng.uniform(0, 2 * np.pi)
    centre = rng.uniform(0.2, 0.35) * np.array([np.sin(towards), np.cos(towards)])

    y, x = rows - centre[0], columns - centre[1]
    waves = HARMONICS[:, None, None] * np.arctan2(y, x) + rng.uniform(0, 6, (5, 1, 1))
    outline = (0.2 + 0.35 * strength) * (1 + np.tensordot(ROUGHNESS, np.cos(waves), axes=1))
    depth = outline - np.hypot(y, x)  # below the edge, in short sides
    piece = np.clip(depth * short + 0.5, 0, 1)
    curl = EDGE * piece * np.exp(-((depth / 0.012) ** 2))

    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = (np.array(density.shape[:2]) - 1) / 2
    start = middle + short * np.array(origin) - rotation @ (middle + short * centre)
    turned = [
        ndimage.affine_transform(plane, rotation, start, order=1, mode="mirror")
        for plane in np.moveaxis(density, 2, 0)
    ]
    layer = piece[..., None] * np.stack(turned, axis=2) + curl[..., None]
    return absorb(image, min(1.0, 2 * strength) * layer)


DEGRADATION = Degradation(
    name="overlap",
    label="tissue overlap",
    modalities=("histopathology",),
    scope="modality-specific",
    family="tissue-fold",
    aspect="none",
    cause="A loose piece of tissue lies over the section, and light crosses both.",
    parameters=(
        "strength: radius of the piece, 0.2 to 0.55 of the short side; its density (full at 0.5)",
        "seed: where the piece came from, its turn (45 to 315 degrees), its place and outline",
    ),
    source="Taqi et al., Journal of Oral and Maxillofacial Pathology 22, 2018",
    simulate=overlap,
    measure="ms-ssim",
    mild=(0.05, 0.09),
    severe=(0.18, 0.28),
)
