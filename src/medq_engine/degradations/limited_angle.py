"""Limited-angle artifact.

Cause: the source cannot go all the way round (C-arm, tomosynthesis, a scan broken off), so a wedge
of directions is never measured; edges that lie along the missing rays vanish, and streaks run out
of the body along the first and the last ray.

Simulation: the views of a wedge of angles are taken away, and their reconstruction is subtracted
from the slice.

Source: Davison, The ill-conditioned nature of the limited angle tomography problem, SIAM Journal on
Applied Mathematics 43, 1983; Frikel and Quinto, Characterization and reduction of artifacts in
limited angle tomography, Inverse Problems 29, 2013.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._sinogram import VIEWS, add_error, project, to_grid
from medq_engine.degradations.base import Degradation

MISSING = 70.0  # degrees of 180, at strength 1


def _missing(wedge: float, middle: float) -> np.ndarray:
    """Share (VIEWS,) of each view that lies in a wedge of angles, all in views, over the turn."""
    distance = np.abs((np.arange(VIEWS) + 0.5 - middle + VIEWS / 2) % VIEWS - VIEWS / 2)
    return np.clip(wedge / 2 - distance + 0.5, 0, min(1.0, wedge))


@simulator
def limited_angle(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The slice without a wedge of views; strength 1 lacks 70 of 180 degrees."""
    middle = rng.uniform(0, VIEWS)
    missing = _missing(strength * MISSING * VIEWS / 180, middle)
    return add_error(image, -missing[:, None] * project(to_grid(image)))


DEGRADATION = Degradation(
    name="limited-angle",
    label="limited-angle artifact",
    modalities=("ct",),
    scope="modality-specific",
    family="limited-angle",
    aspect="none",
    cause="A wedge of directions is not measured because the source cannot go round the body.",
    parameters=(
        "strength: width of the missing wedge, to 70 of 180 degrees at strength 1",
        "seed: direction of the wedge, from all",
    ),
    source="Frikel and Quinto, Inverse Problems 29, 2013",
    simulate=limited_angle,
    measure="ms-ssim",
    mild=(0.07, 0.12),
    severe=(0.2, 0.34),
)
