"""Colour cast.

Cause: an aged, yellow lens, the wrong white balance or a tired flash changes the colour of the
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

# Gain of red, green and blue on the encoded values, at strength 1.
CASTS = (
    (1.0, 1.1, 0.1),  # yellow
    (0.35, 1.2, 0.6),  # green
    (0.5, 0.6, 2.6),  # blue
    (1.0, 0.4, 0.3),  # red
    (0.9, 0.35, 2.2),  # magenta
)


@simulator
def colour_cast(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Tinted light; strength 1 changes the ratio of the channels by three to ten times."""
    gain = channels(CASTS[rng.integers(len(CASTS))], image)
    return image * gain**strength


DEGRADATION = Degradation(
    name="colour-cast",
    label="colour cast",
    modalities=("fundus",),
    scope="modality-specific",
    cause="The light or the white balance tints the whole picture.",
    source="Fu et al., MICCAI 2019",
    simulate=colour_cast,
    mild=0.4,
    severe=0.95,
)
