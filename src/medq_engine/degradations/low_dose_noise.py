"""Low-dose noise.

Cause: few photons reach the detector, fewest through the thick or dense parts of the body, and
their number is Poisson distributed; reconstruction turns it into coarse, streaky noise.

Simulation: the line integrals of the slice are measured with Poisson counts; the reconstruction of
the error is added. Dose falls with the square of strength, so noise grows about linearly.

Source: Buzug, Computed Tomography, Springer 2008, chapter 9.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._sinogram import add_error, count, project, to_grid
from medq_engine.degradations.base import Degradation

PHOTONS = 1500.0  # emitted a ray, at strength 1


@simulator
def low_dose_noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Quantum noise; strength 1 emits 1500 photons a ray, strength 0.1 a hundred times as many."""
    rays = project(to_grid(image))
    return add_error(image, count(rays, PHOTONS / strength**2, rng) - rays)


DEGRADATION = Degradation(
    name="low-dose-noise",
    label="low-dose noise",
    modalities=("ct",),
    scope="modality-specific",
    cause="Too few X-ray photons reach the detector.",
    source="Buzug, Computed Tomography, 2008, chapter 9",
    simulate=low_dose_noise,
    mild=0.35,
    severe=0.9,
)
