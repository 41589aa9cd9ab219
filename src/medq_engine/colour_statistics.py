"""Distributions of light and colour: what a stain, blood, smoke or ink changes."""

import numpy as np

from medq_engine.local_statistics import levels

LEVELS = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1)
HUES = 12
CUBE = 4
GREYS = 16
# Red-green and yellow-blue of tissue under light; what lies outside counts at the border.
LOWEST, WIDTH = (-0.3, -0.2), (0.8, 0.7)


def opponent_channels(colour: np.ndarray) -> np.ndarray:
    """RGB in [0, 1], (H, W, 3), as intensity, red-green and yellow-blue, (3, H, W)."""
    red, green, blue = np.moveaxis(colour, -1, 0)
    return np.stack([(red + green + blue) / 3, (red - green) / 2, (red + green - 2 * blue) / 4])


def colour_statistics(colour: np.ndarray, opponent: np.ndarray) -> np.ndarray:
    """Levels of saturation and opponent channels; root histograms of hue, colour, light: (136,).

    Args:
        colour: RGB in [0, 1], shape (H, W, 3).
        opponent: The same as `opponent_channels`.
    """
    grey, *chroma = opponent
    saturation = colour.max(-1) - colour.min(-1)
    rows = np.stack([saturation, *opponent]).reshape(4, -1)
    angle = (np.arctan2(chroma[1], chroma[0]) + np.pi) / (2 * np.pi)
    hue = np.bincount(bins(angle, HUES), np.hypot(*chroma).ravel(), HUES)
    cells = bins(grey, CUBE)
    for channel, low, width in zip(chroma, LOWEST, WIDTH, strict=True):
        cells = CUBE * cells + bins((channel - low) / width, CUBE)
    counts = [
        hue,
        np.bincount(cells, minlength=CUBE**3),
        np.bincount(bins(grey, GREYS), None, GREYS),
    ]
    # Roots, so that a small spot of a rare colour counts beside a large area.
    histograms = np.sqrt(np.concatenate(counts) / grey.size)
    return np.concatenate([levels(rows, LEVELS).ravel(), histograms])


def bins(values: np.ndarray, count: int) -> np.ndarray:
    """The bin of each value, `count` equal ones over [0, 1]; what lies outside is at the border."""
    return np.clip((values * count).astype(int), 0, count - 1).ravel()
