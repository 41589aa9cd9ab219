"""Lens flare.

Cause: with the camera too near, too far or off centre, the flash is reflected by cornea and iris
and enters as a bright, hazy crescent at the rim of the picture.

Simulation: a crescent of pale light along part of the rim, widest in its middle, with a haze that
reaches inwards, is added to the picture.

Source: Raj et al., Fundus image quality assessment: survey, challenges, and future scope, IET Image
Processing 13, 2019.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates, short_side, soften
from medq_engine.degradations._optics import channels, lay_over, luminance
from medq_engine.degradations.base import Degradation

FLASH = (1.0, 0.95, 0.85)


@simulator
def lens_flare(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A bright crescent; strength 1 is up to 0.25 of the short side wide, saturated at the rim."""
    rows, columns = coordinates(image.shape)
    towards, span = rng.uniform(-np.pi, np.pi), rng.uniform(0.5, 1.0)
    turn = np.angle(np.exp(1j * (np.arctan2(rows, columns) - towards)))
    crescent = np.exp(-((turn / span) ** 2))
    field = np.clip(10 * soften(luminance(image), 0.005) - 0.5, 0, 1)  # what the field stop lets in
    rim = min(0.5, np.sqrt(field.sum() / np.pi) / short_side(image))
    depth = np.abs(rim - np.hypot(rows, columns))
    width = (0.03 + 0.12 * strength) * crescent + 1e-3
    glow = np.exp(-((depth / width) ** 1.5)) * crescent * field
    return lay_over(image, channels(FLASH, image), min(1.0, 1.3 * strength) * glow)


DEGRADATION = Degradation(
    name="lens-flare",
    label="lens flare",
    modalities=("fundus",),
    scope="modality-specific",
    cause="Cornea or iris reflects the flash into the rim of the picture.",
    source="Raj et al., IET Image Processing 13, 2019",
    simulate=lens_flare,
    mild=0.45,
    severe=0.95,
)
