"""Beam hardening.

Cause: the tube emits many energies and the soft ones are absorbed first, so that a long or dense
path attenuates less than in proportion. The middle of the body turns out darker than its rim
(cupping), and dark bands join dense bones.

Simulation: the line integrals of soft tissue and of bone are measured with a spectrum of two
energies; the scanner scales soft tissue and bone to be right on average, as a linear correction
can. The reconstruction of the error that is left is added. Strength is the width of the spectrum.

Source: Brooks and Di Chiro, Beam hardening in x-ray reconstructive tomography, Physics in Medicine
and Biology 21, 1976.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._sinogram import add_error, project, to_grid
from medq_engine.degradations.base import Degradation

# Attenuation at the two energies is 1 +- this, relative to the mean, at strength 1.
SOFT_SPREAD, BONE_SPREAD = 0.4, 0.9
BODY = 7.0  # largest line integral of the body
# A display window shows about a sixth of the range of attenuation, and so the errors larger.
WINDOW = 6.0
AIR = 0.1  # attenuation, where dense bone is 1, below which a pixel is not body
BONE = 1.35  # attenuation from which tissue is bone, relative to the median of the body


def _bone(plane: np.ndarray) -> np.ndarray:
    """What the slice (n, n) has of bone: attenuation above that of dense soft tissue."""
    body = plane[plane > AIR]
    return np.maximum(plane - BONE * (np.median(body) if body.size else 1.0), 0)


@simulator
def beam_hardening(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Cupping and dark bands; at strength 1 bone attenuates by 1 +- 0.9 over the spectrum."""
    soft_spread = SOFT_SPREAD * rng.uniform(0.8, 1.2)
    plane = to_grid(image)
    bone = _bone(plane)
    rays, bone_rays = project(plane), project(bone)
    display = max(rays.max(), 1e-6) / BODY
    spread = strength * (soft_spread * (rays - bone_rays) + BONE_SPREAD * bone_rays) / display
    # -log((exp(-(1+a) p) + exp(-(1-a) p)) / 2) = p - log(cosh(a p))
    deficit = display * np.log(np.cosh(spread)).ravel()
    materials = np.stack([rays.ravel(), bone_rays.ravel()], axis=1)
    scale = np.linalg.pinv(materials.T @ materials) @ (materials.T @ deficit)
    return add_error(image, WINDOW * (materials @ scale - deficit).reshape(rays.shape))


DEGRADATION = Degradation(
    name="beam-hardening",
    label="beam hardening",
    modalities=("ct",),
    scope="modality-specific",
    family="beam-hardening",
    aspect="none",
    cause="The beam gets harder on its way, so long and dense paths attenuate too little.",
    parameters=(
        "strength: spread of attenuation over the spectrum, to +-0.9 in bone at strength 1",
        "strength: the same in soft tissue, to +-0.32-0.48 at strength 1, drawn by the seed",
    ),
    source="Brooks and Di Chiro, Physics in Medicine and Biology 21, 1976",
    simulate=beam_hardening,
    measure="ms-ssim",
    mild=(0.03, 0.06),
    severe=(0.13, 0.22),
)
