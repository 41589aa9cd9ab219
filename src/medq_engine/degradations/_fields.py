"""Coordinates, random fields and masks. Lengths are fractions of the short side of the image, so
that an artefact looks the same at 64 and at 1024 pixels."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

# Noise and compression are those of a detector with at most about this many pixels a side: on
# larger images the grain grows with the image instead of vanishing when a model shrinks it.
DETECTOR = 128


def short_side(image: np.ndarray) -> int:
    """Length in pixels of the shorter of the first two axes."""
    return min(image.shape[:2])


def coordinates(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Row (H, 1) and column (1, W) of each pixel from the centre, in short sides."""
    height, width = shape[:2]
    rows = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]
    columns = (np.arange(width, dtype=np.float32) - (width - 1) / 2)[None, :]
    return rows / min(height, width), columns / min(height, width)


def resize(plane: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resample a float (h, w) plane to `shape[:2]`; band-limited when it shrinks."""
    picture = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def smooth_field(shape: tuple[int, ...], cells: int, rng: np.random.Generator) -> np.ndarray:
    """Random field (H, W) from -1 to 1 with about `cells` hills along a side."""
    field = resize(rng.standard_normal((cells + 3, cells + 3)), shape)
    low, high = field.min(), field.max()
    return 2 * (field - low) / (high - low) - 1


def noise(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise (H, W, C) of unit variance, white up to the resolution of the detector."""
    factor = max(1.0, min(shape[:2]) / DETECTOR)
    grain = (round(shape[0] / factor), round(shape[1] / factor))
    planes = [resize(rng.standard_normal(grain), shape) for _ in range(shape[2])]
    stack = np.stack(planes, axis=2)
    return stack / stack.std()


def soften(plane: np.ndarray, width: float) -> np.ndarray:
    """Gaussian blur over the first two axes; `width` is the sigma in short sides."""
    sigma = width * short_side(plane)
    return ndimage.gaussian_filter(plane, (sigma, sigma) + (0,) * (plane.ndim - 2), mode="nearest")


def haze(image: np.ndarray, width: float) -> np.ndarray:
    """`soften` for very wide kernels, computed on a grid that is just fine enough for them."""
    shape = tuple(max(8, round(n * 32 / short_side(image))) for n in image.shape[:2])
    planes = [
        resize(soften(resize(p, shape), width), image.shape) for p in np.moveaxis(image, 2, 0)
    ]
    return np.stack(planes, axis=2)


def pick_point(weight: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Random (row, column) as in `coordinates`, likelier where `weight` (H, W) is high."""
    total = np.cumsum(np.maximum(weight, 0).ravel() + 1e-6)
    row, column = np.unravel_index(np.searchsorted(total, rng.random() * total[-1]), weight.shape)
    rows, columns = coordinates(weight.shape)
    return float(rows[row, 0]), float(columns[0, column])


def stroke(
    shape: tuple[int, ...],
    through: tuple[float, float],
    width: float,
    bend: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Soft-edged mask (H, W) in [0, 1] of a curved line that crosses the image at a random angle.

    Args:
        shape: Shape of the image; the first two axes count.
        through: Point on the line, as given by `pick_point`.
        width: Width of the line in short sides.
        bend: Typical sideways wandering of the line in short sides.
        rng: Source of the angle and of the curve.
    """
    short = min(shape[:2])
    angle = rng.uniform(0, np.pi)
    along = np.linspace(-1.5, 1.5, 96) * max(shape[:2]) / short
    phase, waves = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.2)
    across = bend * (np.sin(2 * np.pi * waves * along + phase) - np.sin(phase))
    rows = through[0] + along * np.sin(angle) + across * np.cos(angle)
    columns = through[1] + along * np.cos(angle) - across * np.sin(angle)
    # Drawn at twice the size: Pillow does not smooth the edges of a line.
    canvas = Image.new("L", (2 * shape[1], 2 * shape[0]))
    points = np.stack([2 * columns * short + shape[1], 2 * rows * short + shape[0]], axis=1)
    pixels = max(2, round(2 * width * short))
    ImageDraw.Draw(canvas).line([tuple(p) for p in points], fill=255, width=pixels, joint="curve")
    mask = soften(resize(np.asarray(canvas) / 255, shape), 0.1 * width)
    return np.clip(mask, 0, 1)  # bicubic resampling overshoots
