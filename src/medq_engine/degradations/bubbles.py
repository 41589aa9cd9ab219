"""Bubbles (foam).

Cause: saliva, bile and washing fluid foam up; each small bubble shows a bright ring, a slightly
veiled inside and one tiny mirror image of the lamp.

Simulation: up to 130 bubbles in a few clusters, each a ring, a veil and a highlight. The same
seed gives the same bubbles in the same order; strength says how many of them there are, and up to
0.1 how much light their films reflect.

Source: Ali et al., An objective comparison of detection and segmentation algorithms for artefacts
in clinical endoscopy, Scientific Reports 10, 2020.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_stop import circle, field_of_view
from medq_engine.degradations._fields import coordinates
from medq_engine.degradations._optics import lay_over
from medq_engine.degradations.base import Degradation

MOST = 130  # bubbles, at strength 1


@simulator
def bubbles(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Foam; strength 1 has 130 bubbles of 0.016 to 0.05 of the short side in radius."""
    field = field_of_view(image)
    middle_row, middle_column, reach = circle(field)
    clusters = (middle_row, middle_column) + reach * rng.uniform(-0.55, 0.55, (4, 2))
    centres = clusters[rng.integers(4, size=MOST)] + rng.normal(0, 0.1, (MOST, 2))
    radii = rng.uniform(0.016, 0.05, MOST)
    rows, columns = coordinates(image.shape)
    foam = np.zeros(image.shape[:2], dtype=np.float32)
    present = np.clip(MOST * strength - np.arange(MOST), 0, 1)
    for share, (row, column), radius in zip(present[present > 0], centres, radii, strict=False):
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
        window = foam[top:bottom, left:right]
        window += (1 - window) * share * np.maximum(np.maximum(veil, ring), lamp)
    return lay_over(image, 0.95, min(1.0, strength / 0.1) * foam * field)


DEGRADATION = Degradation(
    name="bubbles",
    label="bubbles",
    modalities=("endoscopy",),
    scope="modality-specific",
    family="bubbles",
    aspect="none",
    cause="Foaming fluid lies on the surface.",
    parameters=(
        "strength: number of bubbles, up to 130; reflectance of their films, in full from 0.1",
        "seed: middles of 4 clusters; place (0.1 of the short side about its cluster) and radius "
        "(0.016 to 0.05 of the short side) of each bubble",
    ),
    source="Ali et al., Scientific Reports 10, 2020",
    simulate=bubbles,
    measure="ms-ssim",
    mild=(0.07, 0.11),
    severe=(0.24, 0.36),
)
