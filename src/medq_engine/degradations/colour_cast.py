"""Colour cast.

Cause: an aged, yellow lens, the wrong white balance or a tired lamp changes the colour of the
light for the whole picture.

Simulation: one gain for each channel; the black surround stays black. On gamma-encoded values a
gain of the light is a gain too.

Source: Fu et al., Evaluation of retinal image quality assessment networks in different color-spaces
(Eye-Quality), MICCAI 2019.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._optics import channels
from medq_engine.degradations.base import Degradation

# Gain of red, green and blue on the encoded values, at strength 1. Tissue has much red and little
# blue, so that a cast of equal look is not one of equal gain.
CASTS = (
    (0.85, 1.5, 0.14),  # yellow
    (0.35, 1.4, 0.55),  # green
    (0.4, 0.8, 3.0),  # blue
    (1.15, 0.4, 0.3),  # red
    (0.85, 0.3, 2.4),  # magenta
)


@simulator
def colour_cast(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Tinted light; strength 1 changes the ratio of the channels by three to fifteen times."""
    gain = channels(CASTS[rng.integers(len(CASTS))], image)
    return image * gain**strength


DEGRADATION = Degradation(
    name="colour-cast",
    label="colour cast",
    modalities=("endoscopy", "fundus"),
    scope="modality-specific",
    family="colour-cast",
    aspect="none",
    cause="The light or the white balance tints the whole picture.",
    parameters=(
        "strength: logarithm of the channels' gains, in full at 1",
        "seed: yellow, green, blue, red or magenta",
    ),
    source="Fu et al., MICCAI 2019",
    simulate=colour_cast,
    measure="ms-ssim",
    mild=(0.03, 0.05),
    severe=(0.11, 0.18),
)
