"""The field stop: where an endoscope or a fundus camera lets light in, and black where it does not.

The stop belongs to the camera. What lies in front of the lens (smoke, blood, instruments) ends at
its edge, and a scene that moves does so behind it.
"""

import numpy as np
from scipy import ndimage

from medq_engine.degradations._fields import coordinates, soften
from medq_engine.degradations._optics import luminance

BLACK = 0.06  # sensors and compression leave the surround a little above zero
LARGEST = 0.8  # share of the picture; more black than this is a dark scene and not a stop
EDGE = 0.005  # softness of the stop's edge in short sides


def field_of_view(image: np.ndarray) -> np.ndarray:
    """Mask (H, W) in [0, 1] of what the stop lets in of `image` (H, W, C): all but black corners.

    Darkness that touches no corner, such as the lumen of the gut, belongs to the scene.
    """
    labels, _ = ndimage.label(luminance(image) < BLACK)
    corners = np.unique(labels[[0, 0, -1, -1], [0, -1, 0, -1]])
    surround = np.isin(labels, corners[corners > 0])
    if surround.mean() > LARGEST:
        surround[:] = False
    return soften((~surround).astype(np.float32), EDGE)


def circle(field: np.ndarray) -> tuple[float, float, float]:
    """Centre (row, column) as in `coordinates`, and radius in short sides, of a field of view.

    The radius reaches the farthest point, so it is half the diagonal of a picture without a stop.
    """
    rows, columns = coordinates(field.shape)
    total = field.sum()
    row, column = float((field * rows).sum() / total), float((field * columns).sum() / total)
    return row, column, float(np.hypot(rows - row, columns - column)[field > 0.5].max())


def behind(
    image: np.ndarray, field: np.ndarray, moved: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """The scene after it moved behind the stop, which itself stays where it is.

    Args:
        image: Picture (H, W, C).
        field: Its field of view (H, W).
        moved: `image * field[..., None]` after a linear move, such as a shift or a blur (H, W, C).
        share: `field` after the same move (H, W): less than 1 where the stop hid what came in. The
            picture as it was stands in for that.
    """
    scene = moved + image * (1 - share)[..., None]
    return image + (scene - image) * field[..., None]
