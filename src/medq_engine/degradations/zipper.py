"""Zipper artifact.

Cause: a radio wave enters the room, through an open door or from electronics inside, and lies in
the band of the receiver. Its frequency is a position along the readout, and its phase changes at
random from one phase encoding to the next: a line across the image, all along the phase-encode
axis, of dots that are brighter or darker at random.

Simulation: one to three such frequencies, each with a narrow band, are added to k-space: a complex
wave along the readout, damped by the width of the band, times one random complex number a line.

Source: Stadler et al., Artifacts in body MR imaging, European Radiology 17, 2007.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._kspace import frequencies, kspace, magnitude, nyquist
from medq_engine.degradations.base import Degradation

AMPLITUDE = 1.2  # of white, root mean square on the line, at strength 1
WIDTH = 0.008  # standard deviation of the band, in fields of view, at strength 0
SPREAD = 0.03  # what strength 1 adds to it, shared by the lines


@simulator
def zipper(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Dotted lines along the phase-encode axis; strength 1 is 1.2 of white (root mean square)."""
    phase_axis = int(rng.integers(2))
    lines, readout = frequencies(image, phase_axis), frequencies(image, 1 - phase_axis)
    measured = abs(lines) <= nyquist(image, phase_axis)
    count = int(rng.integers(1, 4))
    band = WIDTH + SPREAD * strength / count
    # A Gaussian band of unit height in the image.
    damping = np.exp(-2 * (np.pi * band * readout) ** 2) * np.sqrt(2 * np.pi) * band
    data = kspace(image)
    for _ in range(count):
        place = rng.uniform(0.2, 0.8)
        power = rng.uniform(0.6, 1)
        wave = rng.normal(size=lines.shape) + 1j * rng.normal(size=lines.shape)
        dots = wave * measured / np.sqrt(2 * measured.sum())
        signal = dots * damping * np.exp(-2j * np.pi * place * readout)
        data = data + strength * AMPLITUDE * power * signal * (lines.size * readout.size)
    return magnitude(data)


DEGRADATION = Degradation(
    name="zipper",
    label="zipper artifact",
    modalities=("mri",),
    scope="modality-specific",
    family="zipper",
    aspect="none",
    cause="A radio wave of a discrete frequency leaks into the receiver.",
    parameters=(
        "strength: amplitude of the wave, to 1.2 of white (root mean square)",
        "strength: band, standard deviation 0.8 % of the field of view, and 3 % over the number of "
        "lines more",
        "seed: phase-encode axis, of two",
        "seed: 1 to 3 lines, each at 20 to 80 % of the readout with 60 to 100 % of the amplitude",
        "seed: amplitude and phase of the wave in each phase encoding, complex normal",
    ),
    source="Stadler et al., European Radiology 17, 2007",
    simulate=zipper,
    measure="rmse",
    mild=(0.022, 0.038),
    severe=(0.11, 0.19),
)
