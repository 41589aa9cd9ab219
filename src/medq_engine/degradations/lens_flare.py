"""Lens flare.

Cause: with the camera too near, too far or off centre, the flash is reflected by cornea and iris
and enters as a bright, hazy crescent at the rim of the picture.

Simulation: a crescent of pale light along part of the rim, widest in its middle, with a haze that
reaches inwards, lies over the picture, and ends at the field stop.

Source: Raj et al., Fundus image quality assessment: survey, challenges, and future scope, IET Image
Processing 13, 2019.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_geometry import centred, depth
from medq_engine.degradations._field_stop import field_of_view
from medq_engine.degradations._fields import soften
from medq_engine.degradations._optics import channels, lay_over
from medq_engine.degradations.base import Degradation

FLASH = (1.0, 0.95, 0.85)
NARROW, WIDE = 0.04, 0.24  # width of the crescent in short sides, near strength 0 and at strength 1


@simulator
def lens_flare(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A bright crescent; strength 1 is 0.24 of the short side wide, saturated at the rim."""
    towards, span = rng.uniform(-np.pi, np.pi), rng.uniform(0.6, 1.1)
    field = field_of_view(image)
    rows, columns, radius = centred(field)
    turn = np.angle(np.exp(1j * (np.arctan2(rows, columns) - towards)))
    crescent = np.exp(-((turn / span) ** 2))
    # The rim is round even where the picture is cropped inside of it; softened, as there the two
    # distances meet at an angle.
    inwards = np.clip(np.minimum(radius - np.hypot(rows, columns), depth(field)), 0, None)
    inwards = soften(inwards, 0.02)
    width = (NARROW + (WIDE - NARROW) * strength) * crescent + 1e-3
    glow = np.exp(-((inwards / width) ** 1.5)) * crescent * field
    return lay_over(image, channels(FLASH, image), min(1.0, 1.3 * strength) * glow)


DEGRADATION = Degradation(
    name="lens-flare",
    label="lens flare",
    modalities=("fundus",),
    scope="modality-specific",
    family="lens-flare",
    aspect="none",
    cause="Cornea or iris reflects the flash into the rim of the picture.",
    parameters=(
        "Strength drives the brightness of the crescent, saturated from 0.77 on, and its width, "
        "to 0.24 of the short side at 1.",
        "Drawn: the direction of its middle, any angle, and its half-length, 0.6 to 1.1 rad.",
    ),
    source="Raj et al., IET Image Processing 13, 2019",
    simulate=lens_flare,
    measure="rmse",
    mild=(0.035, 0.06),
    severe=(0.1, 0.14),
)
