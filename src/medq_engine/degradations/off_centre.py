"""Off-centre field.

Cause: the eye looks aside or the camera is not on the axis of the pupil. The retina lies displaced
in the picture, and on the side it left the iris cuts the beam: a dark crescent with a soft, pale
rim, where the edge of the pupil returns the flash.

Simulation: the retina is moved, the field stop stays. What the moved field no longer covers is as
dark as the iris; along the edge of the dark lies a band of pale light. The move is by whole pixels,
as interpolation would blur the retina: that would be another fault.

Source: Raj et al., Fundus image quality assessment: survey, challenges, and future scope, IET Image
Processing 13, 2019 (field definition).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_geometry import centred
from medq_engine.degradations._field_stop import field_of_view
from medq_engine.degradations._fields import short_side
from medq_engine.degradations._optics import channels, lay_over
from medq_engine.degradations.base import Degradation

DISTANCE = 0.4  # of the short side, at strength 1
SHADE = 0.05  # light that is left in the dark of the iris
IRIS = (0.80, 0.62, 0.50)
EDGE = 0.02  # softness of the pupil's edge in short sides
BAND = 0.035  # width of the pale rim in short sides
PALE = 0.55  # share of the light on the rim that comes from the iris, at a full shift


def _move(planes: np.ndarray, down: int, right: int) -> np.ndarray:
    """The (H, W, ...) planes moved by whole pixels; mirrored where none is known."""
    height, width = planes.shape[:2]
    rows, columns = np.arange(height) - down, np.arange(width) - right
    rows, columns = (n - 1 - abs(n - 1 - abs(i)) for i, n in ((rows, height), (columns, width)))
    return planes[np.ix_(rows, columns)]


@simulator
def off_centre(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Retina moved by 0.4 of the short side at strength 1, a dark crescent where it was."""
    # Mostly sideways: the eye looks left or right more often than up or down.
    towards = rng.choice([0.0, np.pi]) + rng.normal(0, 0.5)
    direction = np.sin(towards), np.cos(towards)
    field = field_of_view(image)
    rows, columns, radius = centred(field)
    distance = DISTANCE * strength
    down, right = (round(distance * d * short_side(image)) for d in direction)
    # The edge of the pupil is round. In a picture cropped inside of its field it comes from beyond
    # the corners, and hurries to hide what the picture never held.
    edge = float(np.hypot(rows, columns)[field > 0.5].max())
    travel = distance + min(edge - radius, 2 * distance)
    rows, columns = rows - travel * direction[0], columns - travel * direction[1]
    past = np.hypot(rows, columns) - edge
    trailing = np.clip(-(rows * direction[0] + columns * direction[1]) / edge, 0, 1)
    dark = 1 / (1 + np.exp(-np.clip(past / (0.4 * EDGE), -50, 50)))
    rim = np.exp(-(((past + BAND) / BAND) ** 2)) * trailing * min(1.0, 4 * strength)
    moved = _move(image, down, right)
    lit = lay_over(moved, channels(IRIS, image), PALE * rim * _move(field, down, right))
    inside = lit * (1 - (1 - SHADE) * dark)[..., None]
    # Generous, or the soft edge of the field would keep a thin outline of the retina as it was.
    return lay_over(image, inside, np.clip(4 * field, 0, 1))


DEGRADATION = Degradation(
    name="off-centre",
    label="off-centre field",
    modalities=("fundus",),
    scope="modality-specific",
    family="off-centre",
    aspect="none",
    cause="The eye looks aside, or the camera is off the axis of the pupil.",
    parameters=(
        "Strength drives the displacement, to 0.4 of the short side at 1, in whole pixels.",
        "Drawn: its direction, left or right, +-0.5 rad (standard deviation).",
    ),
    source="Raj et al., IET Image Processing 13, 2019",
    simulate=off_centre,
    measure="rmse",
    mild=(0.05, 0.08),
    severe=(0.13, 0.18),
)
