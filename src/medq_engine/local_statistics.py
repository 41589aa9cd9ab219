"""Statistics of blocks: what is true of a part of an image only.

A bubble, a thread or a streak fills a few blocks, and a mean over the image hides it. So each block
is measured by itself, and the levels of the blocks (least, some quantiles, most) are the features.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

SIDES = (8, 16)
LEVELS = (0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1)
PEAK_LEVELS = (0.1, 0.5, 0.9, 1)


def levels(rows: np.ndarray, at: Sequence[float]) -> np.ndarray:
    """Quantiles of each row by nearest rank, shape (..., quantiles); faster than interpolation."""
    ordered = np.sort(rows, -1)
    return ordered[..., np.round(np.asarray(at) * (rows.shape[-1] - 1)).astype(int)]


def kurtosis(rows: np.ndarray) -> np.ndarray:
    """Fourth moment over the square of the second, along the last axis; 0 where nothing varies."""
    squares = np.square(rows - rows.mean(-1, keepdims=True))
    variance = squares.mean(-1)
    return np.square(squares).mean(-1) / np.maximum(variance**2, 1e-12) * (variance > 1e-10)


def blocks(maps: np.ndarray, side: int) -> np.ndarray:
    """Maps of shape (maps, H, W) cut into squares: (maps, squares, side * side)."""
    count, height, width = maps.shape
    grid = maps.reshape(count, height // side, side, width // side, side)
    return grid.swapaxes(2, 3).reshape(count, -1, side * side)


def block_statistics(opponent: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """How light, detail, edges and colour are spread over the blocks of an image: (294,).

    Args:
        opponent: Intensity, red-green and yellow-blue, shape (3, H, W), H and W multiples of 16.
        smooth: Intensity after a small blur; what it took away is the detail.
    """
    grey, red_green, yellow_blue = opponent
    detail = grey - smooth
    down, across = np.gradient(grey)
    products = np.stack([down * down, across * across, down * across])
    yy, xx, yx = ndimage.gaussian_filter(products, (0, 2, 2), truncate=3)
    directed = np.sqrt((yy - xx) ** 2 + 4 * yx**2)  # gradients that agree: edges, stripes, threads
    maps = np.stack(
        [
            grey,
            np.abs(detail),
            products[0] + products[1],
            np.abs(ndimage.laplace(grey)),
            directed,
            np.abs(red_green),
            np.abs(yellow_blue),
            red_green,
            yellow_blue,
        ]
    )
    varied = np.stack([grey, detail, red_green, yellow_blue])
    values = []
    for side in SIDES:
        parts = blocks(varied, side)
        spread = np.log(parts.std(2) + 1e-3)
        rows = np.concatenate([blocks(maps, side).mean(2), spread])
        peaks = levels(kurtosis(parts[1]), PEAK_LEVELS)
        values += [levels(rows, LEVELS).ravel(), rows.std(1), kurtosis(rows), peaks]
    return np.concatenate(values)
