"""Interlacing.

Cause: analogue video sends the odd and the even lines of a frame as two fields, taken 1/50 s apart
(1/60 s in NTSC); when the scope or the organ moves between them, edges break up into combs.

Simulation: the odd lines show the scene displaced by the motion between the two fields, the even
lines show it where it was. A frame of an old capture device is taken, of few lines, so that one
still spans two pixels at 96 pixels. The field stop moves with the camera and does not comb.

Source: De Haan and Bellers, Deinterlacing: an overview, Proceedings of the IEEE 86, 1998.
"""

import numpy as np
from scipy import ndimage

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_stop import behind, field_of_view
from medq_engine.degradations._fields import coordinates, short_side
from medq_engine.degradations.base import Degradation

LINES = 48  # along the short side
SHIFT = 0.08  # motion between the fields at strength 1, in short sides


@simulator
def interlacing(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Combed edges; strength 1 is a motion of 0.08 of the short side between the fields."""
    side, rise = rng.choice((-1, 1)), rng.uniform(-0.3, 0.3)
    step = SHIFT * strength * side * short_side(image) * np.array([np.sin(rise), np.cos(rise)])
    field = field_of_view(image)
    seen = np.concatenate([image, np.ones_like(image[..., :1])], axis=2) * field[..., None]
    moved = ndimage.shift(seen, (*step, 0), order=1, mode="nearest")
    later = behind(image, field, moved[..., :-1], moved[..., -1])
    rows, _ = coordinates(image.shape)
    # Counted at the middles of pixels from the upper edge, so that lines fall on whole pixels.
    line = np.floor((rows - rows[0] + 0.5 / short_side(image)) * LINES).astype(int)
    return np.where((line % 2 == 1)[..., None], later, image)


DEGRADATION = Degradation(
    name="interlacing",
    label="interlacing",
    modalities=("endoscopy",),
    scope="modality-specific",
    family="interlacing",
    aspect="none",
    cause="The scene moves between the two fields of a video frame.",
    parameters=(
        "strength: motion between the fields, up to 0.08 of the short side",
        "seed: to the left or to the right, and up to 17 degrees up or down",
    ),
    source="De Haan and Bellers, Proceedings of the IEEE 86, 1998",
    simulate=interlacing,
    measure="ms-ssim",
    mild=(0.05, 0.09),
    severe=(0.20, 0.32),
)
