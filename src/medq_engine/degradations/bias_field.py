"""Bias field (intensity inhomogeneity).

Cause: a receive coil is most sensitive to what is near it, and the transmit field is uneven at high
field strength, so the same tissue is bright on one side and dark on the other.

Simulation: the image times a smooth gain, the exponential of a random polynomial of degree three in
the two coordinates. A fifth of the body has a gain above one, so that what is nearest to the coil
may saturate, as it does under a window set for the rest.

Source: Sudre et al., Longitudinal segmentation of age-related white matter hyperintensities,
Medical Image Analysis 38, 2017; as in TorchIO's RandomBiasField.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates
from medq_engine.degradations._optics import luminance
from medq_engine.degradations.base import Degradation

RANGE = 3.0  # natural log of the ratio of largest to smallest gain in the body, at strength 1


@simulator
def bias_field(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Uneven gain; strength 1 is a factor of 20 between the most and the least sensitive place."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = coordinates(image.shape)
    u = 2 * (rows * np.sin(angle) + columns * np.cos(angle))
    v = 2 * (rows * np.cos(angle) - columns * np.sin(angle))
    # One dominant slope, away from the coil, and weaker curvature.
    terms = (u * u, u * v, v * v, u**3, u * u * v, u * v * v, v**3)
    weights = rng.normal(0, 0.25, len(terms))
    field = u + sum(weight * term for weight, term in zip(weights, terms, strict=True))
    body = luminance(image) >= 0.1 * image.max()
    field = (field - np.quantile(field[body], 0.8)) / np.ptp(field[body])
    return image * np.exp(strength * RANGE * field)[..., None]


DEGRADATION = Degradation(
    name="bias-field",
    label="bias field",
    modalities=("mri",),
    scope="modality-specific",
    family="bias-field",
    aspect="contrast",
    cause="The sensitivity of the receive coil varies smoothly over the image.",
    parameters=(
        "strength: ratio of the largest to the smallest gain in the body, geometrically to 20",
        "seed: direction of the dominant slope, any",
        "seed: coefficients of the seven other terms to degree three, normal, 0.25 of the slope's",
    ),
    source="Sudre et al., Medical Image Analysis 38, 2017",
    simulate=bias_field,
    measure="ms-ssim",
    mild=(0.06, 0.10),
    severe=(0.18, 0.30),
)
