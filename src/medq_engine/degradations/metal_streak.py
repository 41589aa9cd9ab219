"""Metal streaks.

Cause: a filling, clip or prosthesis absorbs nearly all soft X-rays (beam hardening) and leaves few
photons (starvation); the rays through it are inconsistent with the others and leave dark and bright
streaks, above all along the line that joins two pieces of metal.

Simulation: one or two discs of metal are put into the body; each ray is measured with a spectrum of
two energies and Poisson counts, corrected for water as a scanner does; the reconstruction of the
error is added to the slice, in which the metal itself is white. Strength is how dense and how large
the metal is.

Source: De Man et al., Metal streak artifacts in X-ray computed tomography: a simulation study, IEEE
Transactions on Nuclear Science 46, 1999.
"""

import numpy as np
from scipy import ndimage

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates, pick_point, soften
from medq_engine.degradations._optics import lay_over
from medq_engine.degradations._sinogram import add_error, count, from_grid, project, to_grid
from medq_engine.degradations.base import Degradation

METAL = 12.0  # attenuation of the metal at strength 1, where dense bone is 1
AIR = 0.1  # attenuation, where dense bone is 1, below which a pixel is not body
PHOTONS = 3e4  # emitted a ray
# A display window shows about a third of the range of attenuation, and so the errors larger.
WINDOW = 3.0
# Attenuation relative to its mean at the low and at the high energy of the spectrum.
BODY_SPECTRUM, METAL_SPECTRUM = (1.15, 0.85), (1.7, 0.4)


def _measure(body: np.ndarray, metal: np.ndarray) -> np.ndarray:
    """Line integrals that a detector without energy resolution sees."""
    energies = zip(BODY_SPECTRUM, METAL_SPECTRUM, strict=True)
    return -np.log(sum(0.5 * np.exp(-b * body - m * metal) for b, m in energies))


@simulator
def metal_streak(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Streaks from inserted metal; strength 1 is metal 12 times as dense as bone."""
    plane = to_grid(image)
    rows, columns = coordinates(plane.shape)
    body = ndimage.binary_fill_holes(plane > AIR)
    inside = soften(body.astype(np.float32), 0.08)
    inside -= 0.8 * inside.max()  # deep in the body
    metal = np.zeros_like(plane)
    for _ in range(int(rng.integers(1, 3))):
        row, column = pick_point(inside, rng)
        radius = rng.uniform(0.02, 0.035) * (0.5 + 0.5 * strength)
        edge = (radius - np.hypot(rows - row, columns - column)) * plane.shape[0]
        metal = np.maximum(metal, np.clip(edge + 0.5, 0, 1))
    body, implant = project(plane), strength * METAL * project(metal)
    hardened = _measure(body, implant)
    error = hardened - _measure(body, 0 * body) - implant
    # Noise of rays that miss the metal is another artefact.
    error += (count(hardened, PHOTONS, rng) - hardened) * (1 - np.exp(-implant))
    streaked = add_error(image, WINDOW * error)
    return lay_over(streaked, 1.0, min(1.0, 8 * strength) * np.clip(from_grid(metal, image), 0, 1))


DEGRADATION = Degradation(
    name="metal-streak",
    label="metal streak",
    modalities=("ct",),
    scope="modality-specific",
    family="metal-streak",
    aspect="none",
    cause="Metal hardens and starves the X-ray beam.",
    parameters=(
        "strength: attenuation of the metal, to 12 times that of dense bone at strength 1",
        "strength: radius of each piece, from half of what is drawn to all of it",
        "seed: one or two pieces, their places deep in the body, radii of 0.02-0.035 of the side",
        "seed: the counts of 30000 photons a ray",
    ),
    source="De Man et al., IEEE Transactions on Nuclear Science 46, 1999",
    simulate=metal_streak,
    measure="ms-ssim",
    mild=(0.03, 0.06),
    severe=(0.11, 0.20),
)
