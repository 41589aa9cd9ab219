"""Specular reflection.

Cause: the light sits beside the camera and the mucosa is wet, so wherever the surface faces the
lens it mirrors the lamp straight into the sensor, which saturates.

Simulation: the slope of the surface is that of its shading (the brightness of a surface lit from
the camera is highest where it faces the camera, so crests shine) plus that of fine random ripples.
Facets of a Gaussian spread of slopes mirror the lamp; the mirrored light is added in linear light
and clipped. Strength is the share of the surface that a film of fluid covers.

Source: Torrance and Sparrow, Theory for off-specular reflection from roughened surfaces, Journal of
the Optical Society of America 57, 1967; Tchoulack et al., A video stream processor for real-time
detection and correction of specular reflections in endoscopic images, IEEE NEWCAS-TAISA 2008.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_stop import field_of_view
from medq_engine.degradations._fields import short_side, smooth_field, soften
from medq_engine.degradations._optics import luminance
from medq_engine.degradations.base import Degradation

GAMMA = 2.2
RIPPLES = 13  # hills along a side
SHADING = 0.03  # slope of the surface for each relative change of brightness a short side
FACETS = 0.15  # spread of the facets' slopes; that of the ripples is about 0.5
LAMP = 6.0  # mirrored light, in whites


def _slopes(surface: np.ndarray) -> np.ndarray:
    """Slopes (2, H, W) of a surface (H, W) down and to the right, in units a short side."""
    return np.stack(np.gradient(surface)) * short_side(surface)


@simulator
def specular_reflection(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Saturated highlights; at strength 1 the whole surface is wet."""
    ripples, wet = smooth_field(image.shape, RIPPLES, rng), smooth_field(image.shape, 7, rng)
    lit = soften(luminance(image) ** GAMMA, 0.016)
    light = np.clip(lit / np.quantile(lit, 0.95) - 0.1, 0, 1)  # none reaches into a lumen
    slope = _slopes(ripples) / RIPPLES + SHADING * _slopes(np.log(lit + 0.01))
    facing = np.exp(-(slope**2).sum(axis=0) / (2 * FACETS**2))
    wetness = wet + light
    film = np.clip((wetness - np.quantile(wetness, 1 - strength)) / 0.2, 0, 1)
    mirrored = LAMP * film * light * facing
    mirrored += 0.35 * soften(np.clip(mirrored, 0, 1), 0.012)  # the sensor blooms
    mirrored *= field_of_view(image)
    return (image**GAMMA + mirrored[..., None]) ** (1 / GAMMA)


DEGRADATION = Degradation(
    name="specular-reflection",
    label="specular reflection",
    modalities=("endoscopy",),
    scope="modality-specific",
    family="specular-reflection",
    aspect="none",
    cause="The wet surface mirrors the lamp into the camera.",
    parameters=(
        "strength: share of the surface under a film of fluid, up to 100 %, brightest places first",
        "seed: fine ripples of the surface (13 a side), where the fluid lies (7 patches a side)",
    ),
    source="Torrance and Sparrow, Journal of the Optical Society of America 57, 1967",
    simulate=specular_reflection,
    measure="ms-ssim",
    mild=(0.06, 0.10),
    severe=(0.24, 0.36),
)
