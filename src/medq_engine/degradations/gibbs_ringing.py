"""Gibbs ringing (truncation artifact).

Cause: only a finite block of k-space is measured; cutting the Fourier series short leaves ripples
beside every sharp edge, parallel to it, which die away slowly. Their distance is one cycle of the
highest frequency kept, and the first overshoots by 9 % of the step however many terms there are.

Simulation: a sharp cut-off of k-space, with no window to soften it and zeros beyond, as after
interpolation to the displayed matrix. It is lower along the phase-encode axis, where each sample
costs time, so that the ripples are coarsest across the edges that face that axis.

Source: Czervionke et al., Characteristic features of MR truncation artifacts, American Journal of
Roentgenology 151, 1988.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import short_side
from medq_engine.degradations._kspace import frequencies, kspace, magnitude, nyquist
from medq_engine.degradations.base import Degradation

# Highest frequency at strength 1, in cycles a short side.
PHASE, READOUT = 10.0, 26.0


@simulator
def gibbs_ringing(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Ripples beside edges; strength 1 keeps 10 cycles along the phase-encode axis."""
    phase_axis = int(rng.integers(2))
    data = kspace(image)
    for axis, last in ((phase_axis, PHASE), (1 - phase_axis, READOUT)):
        length = image.shape[axis]
        full = min(length / 2, nyquist(image, axis))
        cut = full ** (1 - strength) * (last * length / short_side(image)) ** strength
        # The outermost line counts in part, so that strength acts evenly.
        data = data * np.clip(cut + 1 - abs(frequencies(image, axis)), 0, 1)
    return magnitude(data)


DEGRADATION = Degradation(
    name="gibbs-ringing",
    label="Gibbs ringing",
    modalities=("mri",),
    scope="modality-specific",
    family="blur",
    aspect="clarity",
    cause="K-space is cut off sharply at too low a frequency.",
    parameters=(
        "strength: highest frequency, geometrically to 10 cycles a short side along the "
        "phase-encode axis and 26 along the readout",
        "seed: phase-encode axis, of two",
    ),
    source="Czervionke et al., American Journal of Roentgenology 151, 1988",
    simulate=gibbs_ringing,
    measure="ms-ssim",
    mild=(0.022, 0.038),
    severe=(0.062, 0.1),
)
