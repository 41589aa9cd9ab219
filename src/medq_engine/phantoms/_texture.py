"""What every phantom is drawn with: coordinates, smooth random fields, soft shapes, strokes, grain.

Phantoms are drawn on a canvas of twice their size and averaged down, so that edges do not alias.
Fields are float32 (n, n) and colours planes (3, n, n), in normalised coordinates: the canvas spans
-1 to 1 on both axes, y downwards.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

OVERSAMPLING = 2


def canvas(size: int) -> int:
    """Side in pixels of the canvas on which an image of side `size` is drawn."""
    return OVERSAMPLING * size


@lru_cache(maxsize=16)
def _axis(n: int) -> np.ndarray:
    return ((np.arange(n, dtype=np.float32) + 0.5) / n * 2 - 1).astype(np.float32)


def coordinates(
    n: int, angle: float = 0.0, centre: tuple[float, float] = (0.0, 0.0), zoom: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (y, x) of the pixels of an n x n canvas in a frame that is placed on it.

    The frame lies at `centre` (y, x), is turned by `angle` radians and magnified by `zoom`.
    """
    v = (_axis(n)[:, None] - float(centre[0])) / float(zoom)
    u = (_axis(n)[None, :] - float(centre[1])) / float(zoom)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * v - s * u, s * v + c * u


@lru_cache(maxsize=256)
def _spline(n: int, cells: int) -> np.ndarray:
    """Cubic B-spline weights (n, cells + 3) from a lattice to pixels; rows of unit energy."""
    t = (np.arange(n) + 0.5) / n * cells
    first = np.floor(t).astype(int)
    f = t - first
    weights = np.zeros((n, cells + 3), np.float32)
    parts = ((1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3)
    for k, part in enumerate(parts):
        weights[np.arange(n), first + k] = part
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)


def smooth(rng: np.random.Generator, n: int, cells: int) -> np.ndarray:
    """Smooth Gaussian field of unit variance with `cells` bumps across the canvas."""
    lattice = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
    return _spline(n, cells) @ lattice @ _spline(n, cells).T


def fractal(
    rng: np.random.Generator, n: int, cells: int, octaves: int = 3, gain: float = 0.6
) -> np.ndarray:
    """Sum of smooth fields, each of twice the frequency and `gain` the amplitude; unit variance.

    Octaves finer than a pixel of the final image are left out: they would be averaged away.
    """
    field, energy = np.zeros((n, n), np.float32), 0.0
    for k in range(octaves):
        if k and cells * 2**k > n // OVERSAMPLING:
            break
        field += np.float32(gain**k) * smooth(rng, n, cells * 2**k)
        energy += gain ** (2 * k)
    return field / np.float32(np.sqrt(energy))


def ellipse(
    y: np.ndarray,
    x: np.ndarray,
    centre: tuple[float, float],
    radii: tuple[float, float],
    angle: float = 0.0,
) -> np.ndarray:
    """Approximate signed distance to an ellipse (y, x order), negative inside, in canvas units."""
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    v, u = y - np.float32(centre[0]), x - np.float32(centre[1])
    a, b = (c * v - s * u) / np.float32(radii[0]), (s * v + c * u) / np.float32(radii[1])
    return (np.sqrt(a * a + b * b) - 1) * np.float32(min(radii))


def inside(distance: np.ndarray, edge: float = 0.02) -> np.ndarray:
    """Coverage in [0, 1] of the region of negative distance, with an edge of width `edge`."""
    return np.clip(0.5 - distance / np.float32(edge), 0, 1)


def planes(colour: Sequence[float] | np.ndarray) -> np.ndarray:
    """A colour (3,) as float32 (3, 1, 1), which broadcasts over RGB planes (3, n, n)."""
    return np.asarray(colour, np.float32)[:, None, None]


def blend(image: np.ndarray, value: np.ndarray | float, cover: np.ndarray) -> np.ndarray:
    """Paint `value` over `image`, (n, n) or RGB planes (3, n, n), with opacity `cover` (n, n).

    `value` is a number, a colour (3,), or an image.
    """
    value = np.asarray(value, np.float32)
    return image + ((planes(value) if value.ndim == 1 else value) - image) * cover


def strokes(n: int, lines: Iterable[tuple[np.ndarray, float, float]]) -> np.ndarray:
    """Coverage (n, n) of polylines, each (points (k, 2) in y, x; width; opacity), later on top."""
    image = Image.new("L", (2 * n, 2 * n))
    pen = ImageDraw.Draw(image)
    for points, width, opacity in lines:
        pixels = ((np.asarray(points)[:, ::-1] + 1) * n).ravel().tolist()
        broad = max(1, round(width * n))
        # Pillow rounds joints slowly, and below a few pixels nobody sees them.
        pen.line(pixels, int(255 * opacity), broad, joint="curve" if broad > 4 else None)
    return np.asarray(image.reduce(2), np.float32) / 255


def wander(
    rng: np.random.Generator,
    start: tuple[float, float],
    heading: float,
    length: float,
    bend: float,
    turn: float = 0.0,
    steps: int = 16,
) -> np.ndarray:
    """A smooth random walk (steps + 1, 2) in y, x: heading and total `turn` in radians.

    `bend` is the standard deviation of the direction's change from step to step, radians.
    """
    path = np.empty((steps + 1, 2))
    path[0] = start
    directions = heading + np.cumsum(rng.normal(turn / steps, bend, steps))
    path[1:, 0], path[1:, 1] = np.sin(directions), np.cos(directions)
    path[1:] *= length / steps
    return np.cumsum(path, 0, out=path)


def develop(rng: np.random.Generator, image: np.ndarray, grain: float) -> np.ndarray:
    """Average the canvas down to the final size and add sensor grain of that standard deviation.

    (2n, 2n) becomes (n, n); RGB planes (3, 2n, 2n) become an image (n, n, 3). float32 in [0, 1].
    """
    rows = image[..., ::2, :] + image[..., 1::2, :]
    small = np.float32(0.25) * (rows[..., ::2] + rows[..., 1::2])
    small = small + np.float32(grain) * rng.standard_normal(small.shape, dtype=np.float32)
    small = np.clip(small, 0, 1).astype(np.float32, copy=False)
    return np.ascontiguousarray(np.moveaxis(small, 0, -1)) if small.ndim == 3 else small
