"""Aliasing (fold-over).

Cause: phase-encode lines further apart than one over the size of the object; what lies outside the
field of view folds onto the other side, as after parallel imaging with a wrong coil calibration.

Simulation: of every two or three lines of k-space one is kept and the others are attenuated (lost
wholly at strength 1), with the density compensated, which adds shifted copies of the whole image.

Source: Pruessmann et al., SENSE, Magnetic Resonance in Medicine 42, 1999.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._kspace import frequencies, kspace, magnitude
from medq_engine.degradations.base import Degradation


@simulator
def aliasing(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Fold-over along one axis; strength 1 loses one line of two, or two of three, completely."""
    acceleration = int(rng.integers(2, 4))
    lines = frequencies(image, int(rng.integers(2)))
    weight = np.where(lines % acceleration == 0, 1.0, 1.0 - strength)
    return magnitude(kspace(image) * weight / weight.mean())


DEGRADATION = Degradation(
    name="aliasing",
    label="aliasing",
    modalities=("mri",),
    scope="modality-specific",
    family="aliasing",
    aspect="none",
    cause="Phase encoding is undersampled, so the image folds over onto itself.",
    parameters=(
        "strength: share of the signal that the lines in between lose, to all of it",
        "seed: phase-encode axis, of two",
        "seed: one line kept of 2, or of 3",
    ),
    source="Pruessmann et al., SENSE, Magnetic Resonance in Medicine 42, 1999",
    simulate=aliasing,
    measure="ms-ssim",
    mild=(0.06, 0.10),
    severe=(0.22, 0.38),
)
