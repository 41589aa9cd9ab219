"""Undersampling.

Cause: to save time a part of the phase-encode lines is never measured, at random and more of them
far from the centre; without a reconstruction that knows what images look like, the gaps stay empty.
The missing lines add up incoherently: no distinct copy as in fold-over, but a noise-like smear of
each structure along the phase-encode axis, and loss of detail along it.

Simulation: a line is measured with a probability that falls from one at the centre of k-space to
zero at its edge, as a power of the distance to the edge; the gaps are filled with zeros.

Source: Lustig, Donoho and Pauly, Sparse MRI: the application of compressed sensing for rapid MR
imaging, Magnetic Resonance in Medicine 58, 2007.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._kspace import frequencies, kspace, magnitude, nyquist
from medq_engine.degradations.base import Degradation

CENTRE = 0.04  # of the lines, always measured
POWER = 8.0  # of the distance to the edge of k-space, in the density of lines at strength 1
EDGE = 0.98  # the density vanishes just beyond the edge, so that it is continuous at strength 0


@simulator
def undersampling(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Missing lines, filled with zeros; strength 1 keeps about one of six."""
    phase_axis = int(rng.integers(2))
    lines = frequencies(image, phase_axis)
    distance = (abs(lines) / nyquist(image, phase_axis) - CENTRE) / (1 - CENTRE)
    density = (1 - EDGE * np.clip(distance, 0, 1)) ** (POWER * strength**1.5)
    # One number a line: what is lost at one strength is lost at every higher one.
    return magnitude(kspace(image) * (rng.random(lines.shape) < density))


DEGRADATION = Degradation(
    name="undersampling",
    label="undersampling",
    modalities=("mri",),
    scope="modality-specific",
    family="ghosting",
    aspect="clarity",
    cause="Random phase-encoding lines are not measured and are taken as zero.",
    parameters=(
        "strength: power, to 8, of the distance to the edge of k-space in the density of the "
        "lines; the central 4 % are kept",
        "seed: phase-encode axis, of two",
        "seed: which lines are lost",
    ),
    source="Lustig, Donoho and Pauly, Magnetic Resonance in Medicine 58, 2007",
    simulate=undersampling,
    measure="ms-ssim",
    mild=(0.05, 0.09),
    severe=(0.15, 0.24),
)
