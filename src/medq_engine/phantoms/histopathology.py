"""Histology tiles: stroma, epithelium, lumens and nuclei, stained by the Beer-Lambert law."""

import numpy as np
from PIL import Image, ImageDraw

from medq_engine.phantoms._texture import (
    blend,
    canvas,
    coordinates,
    develop,
    fractal,
    inside,
    planes,
    smooth,
)

# Optical density per unit of stain (RGB): Ruifrok & Johnston 2001, then Macenko et al. 2009.
_HAEMATOXYLIN = np.array([(0.65, 0.70, 0.29), (0.56, 0.72, 0.41)])
_EOSIN = np.array([(0.09, 0.95, 0.28), (0.20, 0.82, 0.50)])
_DAB = np.array((0.27, 0.57, 0.78))


def _nuclei(
    rng: np.random.Generator, n: int, radius: float, crowding: np.ndarray, flow: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draw nuclei and their rims: two coverages (n, n), scaled by each nucleus's chromatin.

    Args:
        rng: Source of positions, shapes and chromatin.
        n: Canvas side.
        radius: Mean radius in pixels of the canvas.
        crowding: (n, n), the chance that a site holds a nucleus; above 0.5 it is round and large
            (epithelium), below spindle-shaped along `flow` (radians, fibroblasts).
        flow: Direction of the stromal fibres.
    """
    pitch = 2.5 * radius
    sites = np.mgrid[0 : n + pitch : pitch, 0 : n + pitch : pitch].reshape(2, -1).T
    sites = sites + rng.uniform(-0.42, 0.42, sites.shape) * pitch
    at = np.clip(sites.astype(int), 0, n - 1)
    chance = crowding[at[:, 0], at[:, 1]]
    kept = rng.random(len(sites)) < chance
    sites, plump = sites[kept], chance[kept] > 0.5
    m = len(sites)
    long = radius * rng.uniform(0.8, 1.25, m) * np.where(plump, 1.0, 1.3)
    short = long * np.where(plump, rng.uniform(0.7, 1.0, m), rng.uniform(0.25, 0.5, m))
    turn = np.where(plump, rng.uniform(0, np.pi, m), flow + rng.normal(0, 0.3, m))
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    bumps = 1 + rng.normal(0, 0.06, (m, 12))
    a, b = long[:, None] * np.cos(angle) * bumps, short[:, None] * np.sin(angle) * bumps
    c, s = np.cos(turn)[:, None], np.sin(turn)[:, None]
    outlines = np.stack([sites[:, 1:] + c * a - s * b, sites[:, :1] + s * a + c * b], 2)
    chromatin = np.where(plump, rng.uniform(0.45, 1.0, m), rng.uniform(0.7, 1.0, m))
    body, rim = Image.new("L", (n, n)), Image.new("L", (n, n))
    fill, trace = ImageDraw.Draw(body), ImageDraw.Draw(rim)
    # The width is spelled out because a tile may hold no nucleus at all (m = 0).
    points = outlines.reshape(m, 24).round(1).tolist()
    for polygon, value in zip(points, (255 * chromatin).astype(int).tolist(), strict=True):
        fill.polygon(polygon, fill=value)
        trace.polygon(polygon, outline=value)
    return np.asarray(body, np.float32) / 255, np.asarray(rim, np.float32) / 255


def draw(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a stained tile: (size, size, 3) float32 in [0, 1], RGB on a white slide.

    Mostly H&E between 5x and 40x; one in eight is immunohistochemistry (brown DAB, blue nuclei).
    """
    n = canvas(size)
    # Tiles are 40 to 300 um wide, nuclei about 8 um: radii run from 1.3 to 10 % of the tile.
    radius = n * float(np.exp(rng.uniform(np.log(0.013), np.log(0.1))))
    coarse = max(1, round(0.05 * n / radius))
    flow = rng.uniform(0, np.pi)
    y, _ = coordinates(n, flow)

    layout = fractal(rng, n, 1 + coarse, 2, 0.5)
    epithelium = inside(rng.uniform(-1.4, 1.2) - layout, 0.15)
    torn = smooth(rng, n, 1 + coarse) + 0.12 * fractal(rng, n, 12, 3)
    lumen = inside(torn + rng.uniform(0.9, 3.5), 0.08)
    weave = 2.5 * fractal(rng, n, 3, 2) + y * (n / radius) * rng.uniform(0.35, 0.6)
    fibres = np.sin(weave) + 0.6 * np.sin(2.3 * weave + 2 * smooth(rng, n, 8))
    speckle = fractal(rng, n, n // 6, 2, 0.9)
    # Clefts between fibre bundles and around nests of cells let the white slide through.
    shrunk = 0.8 * smooth(rng, n, 4) - rng.uniform(0.2, 1.6)
    seam = 3 * np.abs(smooth(rng, n, max(3, round(0.4 * n / radius)))) + 0.3
    cleft = inside(blend(1.6 + fibres, seam, epithelium) - shrunk.clip(-0.2), 0.5)

    crowding = blend(
        np.full((n, n), rng.uniform(0.08, 0.3), np.float32), rng.uniform(0.65, 0.95), epithelium
    )
    body, rim = _nuclei(rng, n, radius, crowding * (1 - lumen), flow)
    clumps = 1 + 0.34 * speckle + 0.25 * fractal(rng, n, max(6, round(n / radius)), 2)
    h = body * clumps.clip(0.3) * rng.uniform(0.65, 1.0) + rim * rng.uniform(0.15, 0.5)

    stroma = 0.46 + 0.16 * fibres + 0.13 * speckle
    cytoplasm = 0.42 + 0.13 * speckle + 0.08 * fractal(rng, n, 8, 3)
    ground = blend(stroma, cytoplasm, epithelium) * (1 - cleft * rng.uniform(0.3, 0.95))
    ground = ground.clip(0.02) * (1 - lumen)
    basophilia = rng.uniform(0.1, 0.4) * epithelium * ground
    h = (h + basophilia) * (1 - 0.9 * lumen)
    counter = ground * (1 - 0.3 * body)

    if rng.random() < 0.125:
        positive = counter * (0.1 + 0.9 * epithelium) * (1 + 0.6 * np.abs(speckle))
        stains = (
            (0.55 * h, _HAEMATOXYLIN[0] + (0.1, -0.1, 0)),
            (positive * rng.uniform(1, 2), _DAB),
        )
    else:
        blue = rng.dirichlet((0.7, 0.7)) @ _HAEMATOXYLIN + rng.normal(0, 0.025, 3)
        pink = rng.dirichlet((0.7, 0.7)) @ _EOSIN + rng.normal(0, 0.025, 3)
        stains = ((h * rng.uniform(0.85, 1.35), blue), (counter * rng.uniform(0.7, 1.3), pink))
    density = sum(amount * planes(vector) for amount, vector in stains)
    white = planes(rng.uniform(0.92, 0.98) + rng.normal(0, 0.01, 3))
    return develop(rng, white * np.exp(-density * np.float32(1.35)), rng.uniform(0.004, 0.009))
