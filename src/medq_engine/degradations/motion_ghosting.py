"""Motion ghosting.

Cause: breathing, pulse or swallowing moves the object between one phase encoding and the next, so
each line of k-space belongs to an object in another place. A periodic movement modulates the lines
periodically, and the image repeats along the phase-encode axis at the distance of that period.

Simulation: each phase-encode line gets the phase ramp of its own displacement (Fourier shift
theorem), sinusoidal in the order of the lines; the axis is random, as scanners let one swap it.

Source: Wood and Henkelman, MR image artifacts from periodic motion, Medical Physics 12, 1985.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._kspace import displacement, frequencies, kspace, magnitude
from medq_engine.degradations.base import Degradation

AMPLITUDE = 0.03  # of the field of view, at strength 1


@simulator
def motion_ghosting(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Ghosts along one axis; strength 1 is a movement of +-3 % of the field of view."""
    phase_axis = int(rng.integers(2))
    period = rng.uniform(3.0, 9.0)  # lines a cycle: ghosts lie a 1/period of the image apart
    direction = rng.uniform(-0.7, 0.7)  # 0: along the phase-encode axis
    cycle = 2 * np.pi * frequencies(image, phase_axis) / period + rng.uniform(0, 2 * np.pi)
    move = strength * AMPLITUDE * np.sin(cycle)
    along, across = move * np.cos(direction), move * np.sin(direction)
    rows, columns = (along, across) if phase_axis == 0 else (across, along)
    return magnitude(kspace(image) * displacement(image, rows, columns))


DEGRADATION = Degradation(
    name="motion-ghosting",
    label="motion ghosting",
    modalities=("mri",),
    scope="modality-specific",
    family="ghosting",
    aspect="clarity",
    cause="The object moves periodically between one phase-encoding line and the next.",
    parameters=(
        "strength: amplitude of the movement, to 3 % of the field of view",
        "seed: phase-encode axis, of two",
        "seed: period of the movement, 3 to 9 phase-encode lines, and its phase",
        "seed: direction of the movement, within 40 degrees of the phase-encode axis",
    ),
    source="Wood and Henkelman, Medical Physics 12, 1985",
    simulate=motion_ghosting,
    measure="ms-ssim",
    mild=(0.05, 0.09),
    severe=(0.20, 0.34),
)
