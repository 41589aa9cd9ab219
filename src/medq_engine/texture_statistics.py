"""Statistics of texture over a whole image: natural scenes, local patterns, block cosines.

Noise, blur, compression and ringing change how neighbouring pixels depend on each other, whatever
the anatomy. Three classical ways to measure it: contrast-normalised coefficients and their products
as generalised Gaussians (BRISQUE, Mittal et al. 2012), uniform local binary patterns (Ojala et al.
2002), and cosine coefficients of blocks (BLIINDS-II, Saad et al. 2012).
"""

import numpy as np
from scipy import ndimage
from scipy.fft import dctn
from scipy.special import gamma

from medq_engine.local_statistics import blocks

MSCN_SIGMA = 7 / 6
SCALES = 3
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))
RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
# Shapes of a generalised Gaussian, and the ratio of moments by which a shape is looked up.
SHAPES = np.arange(0.2, 10, 0.001)
RATIOS = gamma(2 / SHAPES) ** 2 / (gamma(1 / SHAPES) * gamma(3 / SHAPES))
GREY_LEVEL = 1 / 255


def normalised(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean-subtracted contrast-normalised coefficients, and the local contrast, both (H, W)."""
    mean = ndimage.gaussian_filter(grey, MSCN_SIGMA)
    variance = ndimage.gaussian_filter(grey * grey, MSCN_SIGMA) - mean * mean
    contrast = np.sqrt(np.maximum(variance, 0))
    return (grey - mean) / (contrast + GREY_LEVEL), contrast


def halved(grey: np.ndarray) -> np.ndarray:
    """The image at half its size, means of 2 x 2 pixels."""
    height, width = grey.shape
    return grey.reshape(height // 2, 2, width // 2, 2).mean((1, 3))


def asymmetric_gaussian(rows: np.ndarray) -> np.ndarray:
    """Fit an asymmetric generalised Gaussian to each row by its moments.

    Args:
        rows: Samples around 0, shape (rows, samples).

    Returns:
        Shape, left and right spread, and mean of each fit, shape (rows, 4).
    """
    below, above = np.minimum(rows, 0), np.maximum(rows, 0)
    left = np.sqrt(np.square(below).sum(1) / np.maximum((rows < 0).sum(1), 1)) + 1e-6
    right = np.sqrt(np.square(above).sum(1) / np.maximum((rows > 0).sum(1), 1)) + 1e-6
    skew = left / right
    ratio = np.abs(rows).mean(1) ** 2 / np.maximum(np.square(rows).mean(1), 1e-12)
    wanted = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = SHAPES[np.minimum(np.searchsorted(RATIOS, wanted), len(SHAPES) - 1)]
    mean = (right - left) * gamma(2 / shape) / np.sqrt(gamma(1 / shape) * gamma(3 / shape))
    return np.stack([shape, left, right, mean], 1)


def natural_scene(grey: np.ndarray) -> np.ndarray:
    """Fits of normalised coefficients and of products of neighbours at three scales: (102,)."""
    values = []
    for _ in range(SCALES):
        mscn, _ = normalised(grey)
        products = [mscn * np.roll(mscn, shift, (0, 1)) for shift in SHIFTS]
        rows = np.stack([mscn, *products]).reshape(1 + len(SHIFTS), -1)
        values += [asymmetric_gaussian(rows).ravel(), rows[1:].mean(1)]
        grey = halved(grey)
    return np.concatenate(values)


def local_patterns(grey: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """Root frequencies of uniform local binary patterns: of the image, and two pixels apart: (20,).

    A neighbour counts as brighter from one grey level on, so that flat background has one pattern.
    """
    values = []
    for distance, image in ((1, grey), (2, smooth)):
        around = [np.roll(image, (-distance * y, -distance * x), (0, 1)) for y, x in RING]
        bits = (np.stack(around) > image + GREY_LEVEL)[:, distance:-distance, distance:-distance]
        changes = (bits != np.roll(bits, 1, 0)).sum(0)
        patterns = np.where(changes <= 2, bits.sum(0), len(RING) + 1)
        counts = np.bincount(patterns.ravel(), minlength=len(RING) + 2)
        values.append(np.sqrt(counts / patterns.size))
    return np.concatenate(values)


def block_cosines(grey: np.ndarray) -> np.ndarray:
    """Log amplitude of each cosine of 8 x 8 blocks: of the mean, and how it varies: (126,)."""
    amplitude = np.abs(dctn(blocks(grey[None], 8).reshape(-1, 8, 8), axes=(1, 2), norm="ortho"))
    mean = np.log(amplitude.mean(0) + 1e-4).ravel()
    spread = np.log(amplitude + 1e-3).std(0).ravel()
    # The first cosine is the block's light, not its texture.
    return np.concatenate([mean[1:], spread[1:]])
