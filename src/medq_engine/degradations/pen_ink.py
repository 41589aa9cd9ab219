"""Pen ink.

Cause: a pathologist marks a region on the coverslip with a felt pen; the ink absorbs light above
the tissue, and lies out of focus.

Simulation: a soft-edged curved stroke of dye, uneven along its course, whose optical density
(green, blue or black ink) adds to that of the tissue.

Source: Ali et al., Ink removal from histopathology whole slide images by combining classification,
detection and image generation models, IEEE ISBI 2019.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import smooth_field, stroke
from medq_engine.degradations._optics import absorb, channels
from medq_engine.degradations.base import Degradation

# Optical density (red, green, blue) of a full stroke, at strength 1. No red ink: a pale stroke of
# it over eosin cannot be told from a fold.
INKS = (
    (2.6, 0.7, 1.5),  # green
    (2.4, 1.5, 0.3),  # blue
    (2.2, 2.2, 2.2),  # black
)


@simulator
def pen_ink(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A marker stroke; strength 1 is 0.36 of the short side wide and nearly opaque."""
    ink = channels(INKS[rng.integers(len(INKS))], image)
    width = rng.uniform(0.8, 1.2) * (0.06 + 0.3 * strength)
    through = tuple(rng.uniform(-0.3, 0.3, 2))
    mask = stroke(image.shape, through, width, 0.08, rng)
    wetness = 1 + 0.25 * smooth_field(image.shape, 6, rng)
    return absorb(image, min(1.0, 1.6 * strength) * (mask * wetness)[..., None] * ink)


DEGRADATION = Degradation(
    name="pen-ink",
    label="pen ink",
    modalities=("histopathology",),
    scope="modality-specific",
    family="pen-ink",
    aspect="none",
    cause="Ink of a marker on the coverslip absorbs light.",
    parameters=(
        "strength: width of the stroke, 0.06 to 0.36 of the short side; density, full from 0.63 on",
        "seed: ink (green, blue, black), place, angle and bends, width +-20 %, wetness +-25 %",
    ),
    source="Ali et al., IEEE International Symposium on Biomedical Imaging, 2019",
    simulate=pen_ink,
    measure="ms-ssim",
    mild=(0.04, 0.075),
    severe=(0.16, 0.24),
)
