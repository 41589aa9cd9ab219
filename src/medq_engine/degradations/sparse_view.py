"""Sparse-view streaks.

Cause: too few projections over the turn (fast or low-dose protocols, a gantry that skips views);
the streaks of each back-projected edge no longer cancel and fan out from dense structures.

Simulation: of the views of the slice some are left out and the others weighted up; the
reconstruction of the difference is added. The number of views falls geometrically with strength.

Source: Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, chapter 5.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._sinogram import VIEWS, add_error, project, to_grid
from medq_engine.degradations.base import Degradation

FEWEST = 12  # views, at strength 1


@simulator
def sparse_view(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Streaks of missing views; strength 0 has all 120, strength 1 has 12 over half a turn."""
    kept = round(VIEWS * (FEWEST / VIEWS) ** strength)
    views = (rng.integers(VIEWS) + np.arange(kept) * VIEWS // kept) % VIEWS
    weight = np.zeros(VIEWS)
    weight[views] = VIEWS / kept
    return add_error(image, (weight[:, None] - 1) * project(to_grid(image)))


DEGRADATION = Degradation(
    name="sparse-view",
    label="sparse-view streak",
    modalities=("ct",),
    scope="modality-specific",
    cause="Too few projections are taken over the turn of the gantry.",
    source="Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, chapter 5",
    simulate=sparse_view,
    mild=0.5,
    severe=0.88,
)
