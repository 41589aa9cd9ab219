"""Spike noise (herringbone).

Cause: a spark in the gradient coils or in the room puts a short burst on the receiver, that is one
or a few wildly wrong points of k-space; each becomes a plane wave over all of the image.

Simulation: one to three points of k-space get a complex value added, far above the signal there.

Source: Stadler et al., Artifacts in body MR imaging, European Radiology 17, 2007.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._kspace import kspace, magnitude
from medq_engine.degradations.base import Degradation

AMPLITUDE = 0.32  # of white, all waves together, at strength 1


@simulator
def spike_noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Stripes over the image; strength 1 is waves of 0.32 of white, 8 to 26 cycles a side."""
    height, width, _ = image.shape
    spikes = int(rng.integers(1, 4))
    data = kspace(image)
    for _ in range(spikes):
        cycles, angle = rng.uniform(8, 26), rng.uniform(0, np.pi)
        row, column = round(cycles * np.sin(angle)), round(cycles * np.cos(angle))
        burst = np.exp(2j * np.pi * rng.random()) * height * width
        data[row, column] += strength * AMPLITUDE / spikes * burst
    return magnitude(data)


DEGRADATION = Degradation(
    name="spike-noise",
    label="spike noise",
    modalities=("mri",),
    scope="modality-specific",
    family="spike-noise",
    aspect="noise",
    cause="An electric spark corrupts a few points of k-space.",
    parameters=(
        "strength: amplitude of all waves together, to 0.32 of white",
        "seed: 1 to 3 points of k-space",
        "seed: each at 8 to 26 cycles a field of view in any direction, in any phase",
    ),
    source="Stadler et al., European Radiology 17, 2007",
    simulate=spike_noise,
    measure="ms-ssim",
    mild=(0.07, 0.13),
    severe=(0.25, 0.42),
)
