"""Ring artifact.

Cause: a detector element with a wrong gain errs by the same amount in every view, and all rays of
one element touch one circle around the axis of rotation.

Simulation: constant offsets of a few columns of the sinogram, the same on both sides of the axis
as over a full turn; their reconstruction is added to the slice.

Source: Sijbers and Postnov, Reduction of ring artefacts in high resolution micro-CT
reconstructions, Physics in Medicine and Biology 49, 2004.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._sinogram import VIEWS, add_error, ray_offsets, to_grid
from medq_engine.degradations.base import Degradation

OFFSET = 0.8  # typical error of a bad element in units of attenuation, at strength 1
WIDTH = 0.006  # of a bad element, in sides


@simulator
def ring_artifact(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Rings around the centre; at strength 1 a bad element errs by about 0.8 of attenuation."""
    radii = rng.uniform(0.05, 0.45, int(rng.integers(4, 9)))
    errors = rng.choice((-1, 1), radii.size) * rng.uniform(0.6, 1.4, radii.size)
    distance = np.abs(ray_offsets(to_grid(image).shape[0]))
    profile = np.exp(-(((distance[:, None] - radii) / WIDTH) ** 2)) @ errors
    return add_error(image, np.tile(strength * OFFSET * profile, (VIEWS, 1)))


DEGRADATION = Degradation(
    name="ring-artifact",
    label="ring artifact",
    modalities=("ct",),
    scope="modality-specific",
    family="ring-artifact",
    aspect="none",
    cause="Detector elements with a wrong gain err alike in every view.",
    parameters=(
        "strength: error of a bad element, to about 0.8 of attenuation at strength 1",
        "seed: 4-8 bad elements, their radii (0.05-0.45 of the side), signs and sizes (0.6-1.4)",
    ),
    source="Sijbers and Postnov, Physics in Medicine and Biology 49, 2004",
    simulate=ring_artifact,
    measure="ms-ssim",
    mild=(0.03, 0.06),
    severe=(0.14, 0.26),
)
