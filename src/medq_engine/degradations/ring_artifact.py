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
from medq_engine.degradations._sinogram import VIEWS, add_error, project, to_grid
from medq_engine.degradations.base import Degradation

OFFSET = 0.45  # typical error of a bad element in units of attenuation, at strength 1


@simulator
def ring_artifact(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Rings around the centre; at strength 1 a bad element errs by about 0.45 of attenuation."""
    size = to_grid(image).shape[0]
    detectors = project(np.zeros((size, size), np.float32)).shape[1]
    centre = (detectors - 1) / 2
    radii = rng.uniform(0.05, 0.45, int(rng.integers(4, 9))) * size
    errors = rng.choice((-1, 1), radii.size) * rng.uniform(0.6, 1.4, radii.size)
    distance = np.abs(np.arange(detectors) - centre)
    width = 0.006 * size
    profile = np.exp(-(((distance[:, None] - radii) / width) ** 2)) @ errors
    return add_error(image, np.tile(strength * OFFSET * profile, (VIEWS, 1)))


DEGRADATION = Degradation(
    name="ring-artifact",
    label="ring artifact",
    modalities=("ct",),
    scope="modality-specific",
    cause="Detector elements with a wrong gain err alike in every view.",
    source="Sijbers and Postnov, Physics in Medicine and Biology 49, 2004",
    simulate=ring_artifact,
    mild=0.3,
    severe=0.9,
)
