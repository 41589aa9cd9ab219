"""Bubbles (foam).

Cause: saliva, bile and washing fluid foam up; each small bubble shows a bright ring, a slightly
veiled inside and one tiny mirror image of the lamp.

Simulation: up to ninety bubbles in a few clusters, each a ring, a veil and a highlight. The same
seed gives the same bubbles in the same order; strength says how many of them there are.

Source: Ali et al., An objective comparison of detection and segmentation algorithms for artefacts
in clinical endoscopy, Scientific Reports 10, 2020.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates
from medq_engine.degradations._optics import lay_over
from medq_engine.degradations.base import Degradation

MOST = 90  # bubbles, at strength 1


@simulator
def bubbles(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Foam; strength 1 has 90 bubbles of 0.014 to 0.045 of the short side in radius."""
    clusters = rng.uniform(-0.4, 0.4, (4, 2))
    centres = clusters[rng.integers(4, size=MOST)] + rng.normal(0, 0.1, (MOST, 2))
    radii = rng.uniform(0.014, 0.045, MOST)
    rows, columns = coordinates(image.shape)
    image = image.copy()
    for (row, column), radius in zip(centres[: round(MOST * strength)], radii, strict=False):
        # Only the window of the bubble is touched.
        top, bottom = np.searchsorted(rows[:, 0], (row - 1.5 * radius, row + 1.5 * radius))
        left, right = np.searchsorted(columns[0], (column - 1.5 * radius, column + 1.5 * radius))
        y = (rows[top:bottom] - row) / radius
        x = (columns[:, left:right] - column) / radius
        distance = np.hypot(y, x)
        veil = 0.2 * (distance < 1)
        facing = 0.6 - 0.4 * (y + x) / np.maximum(distance, 1e-6) / np.sqrt(2)  # 1 on the lamp side
        ring = 0.8 * facing * np.exp(-(((distance - 1) / 0.22) ** 2))
        lamp = np.exp(-(((y + 0.35) ** 2 + (x + 0.35) ** 2) / 0.06))
        window = image[top:bottom, left:right]
        image[top:bottom, left:right] = lay_over(
            window, 0.95, np.maximum(np.maximum(veil, ring), lamp)
        )
    return image


DEGRADATION = Degradation(
    name="bubbles",
    label="bubbles",
    modalities=("endoscopy",),
    scope="modality-specific",
    cause="Foaming fluid lies on the surface.",
    source="Ali et al., Scientific Reports 10, 2020",
    simulate=bubbles,
    mild=0.25,
    severe=0.95,
)
