"""Geometry of a field of view: positions from its centre, distances from its rim."""

import numpy as np
from scipy import ndimage

from medq_engine.degradations._fields import coordinates, short_side


def centred(field: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Row (H, 1) and column (1, W) from the centre of a field of view, and its radius.

    All in short sides. The radius is half the longer side of the box round the field, as a round
    field is often cut above and below.
    """
    rows, columns = coordinates(field.shape)
    inside = field > 0.5
    high, wide = rows[inside.any(axis=1), 0], columns[0, inside.any(axis=0)]
    middle = (high[0] + high[-1]) / 2, (wide[0] + wide[-1]) / 2
    radius = max(high[-1] - high[0], wide[-1] - wide[0]) / 2
    return rows - middle[0], columns - middle[1], float(radius)


def depth(field: np.ndarray) -> np.ndarray:
    """Distance (H, W) in short sides from the rim of a field of view inwards, 0 outside of it."""
    framed = np.pad(field > 0.5, 1)  # the border of the picture is a rim too
    return np.float32(ndimage.distance_transform_edt(framed)[1:-1, 1:-1] / short_side(field))
