"""Sparse-view streaks.

Cause: too few projections over the turn (fast or low-dose protocols, a gantry that skips views);
the streaks of each back-projected edge no longer cancel and fan out from dense structures.

Simulation: of the views of the slice some are left out, and each of the others stands for the
angles nearest to it; the reconstruction of the difference is added. The number of views falls
geometrically with strength.

Source: Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, chapter 5.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._sinogram import VIEWS, add_error, project, to_grid
from medq_engine.degradations.base import Degradation

FEWEST = 12  # views, at strength 1


def _weights(kept: int, first: int) -> np.ndarray:
    """Weight (VIEWS,) of each view, 0 if it is missing; they add up to VIEWS."""
    views = np.arange(kept) * VIEWS // kept
    before = np.diff(views, prepend=views[-1] - VIEWS)
    weight = np.zeros(VIEWS)
    weight[(first + views) % VIEWS] = (before + np.roll(before, -1)) / 2
    return weight


@simulator
def sparse_view(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Streaks of missing views; strength 0 has all 180, strength 1 has 12 over half a turn."""
    kept = round(VIEWS * (FEWEST / VIEWS) ** strength)
    weight = _weights(kept, int(rng.integers(VIEWS)))
    return add_error(image, (weight[:, None] - 1) * project(to_grid(image)))


DEGRADATION = Degradation(
    name="sparse-view",
    label="sparse-view streak",
    modalities=("ct",),
    scope="modality-specific",
    family="sparse-view",
    aspect="none",
    cause="Too few projections are taken over the turn of the gantry.",
    parameters=(
        "strength: views over half a turn, falling geometrically from 180 to 12 at strength 1",
        "seed: angle of the first view, from the whole half turn",
    ),
    source="Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, chapter 5",
    simulate=sparse_view,
    measure="ms-ssim",
    mild=(0.07, 0.12),
    severe=(0.22, 0.38),
)
