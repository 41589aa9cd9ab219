"""Low-dose noise.

Cause: few photons reach the detector, fewest through the thick or dense parts of the body, and
their number is Poisson distributed; reconstruction turns it into fine grain over the whole body.

Simulation: the line integrals of the slice are measured with Poisson counts; the reconstruction of
the error is added. Dose falls with the square of strength, so noise grows about linearly. As
automatic exposure control does, the tube current follows the root of the attenuation, from body to
body and from view to view, which spreads noise evenly over the directions (Gies et al.).

Source: Buzug, Computed Tomography, Springer 2008, chapter 9; Gies et al., Dose reduction in CT by
anatomically adapted tube current modulation I, Medical Physics 26, 1999.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._sinogram import add_error, count, project, to_grid
from medq_engine.degradations.base import Degradation

PHOTONS = 600.0  # emitted a ray, at strength 1, in a view whose largest line integral is this:
REFERENCE = 5.0


@simulator
def low_dose_noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Quantum noise; strength 1 emits about 600 photons a ray, 0.1 a hundred times that."""
    rays = project(to_grid(image))
    current = np.exp((rays.max(axis=1, keepdims=True) - REFERENCE) / 2)
    return add_error(image, count(rays, PHOTONS / strength**2 * current, rng) - rays)


DEGRADATION = Degradation(
    name="low-dose-noise",
    label="low-dose noise",
    modalities=("ct",),
    scope="modality-specific",
    family="noise",
    aspect="noise",
    cause="Too few X-ray photons reach the detector.",
    parameters=(
        "strength: photons emitted a ray, falling with its square, to about 600 at strength 1",
        "seed: the counts",
    ),
    source="Buzug, Computed Tomography, 2008, chapter 9",
    simulate=low_dose_noise,
    measure="ms-ssim",
    mild=(0.06, 0.11),
    severe=(0.18, 0.29),
)
