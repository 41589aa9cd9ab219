"""Endoscopic frames: gastrointestinal mucosa and laparoscopic views, lit from the scope's tip."""

import numpy as np

from medq_engine.phantoms._texture import (
    blend,
    canvas,
    coordinates,
    develop,
    ellipse,
    fractal,
    inside,
    planes,
    smooth,
    strokes,
    wander,
)

# Tissue colours (RGB) under xenon light.
_MUCOSA = np.array([(0.86, 0.50, 0.42), (0.80, 0.40, 0.36), (0.90, 0.60, 0.46), (0.72, 0.34, 0.28)])
_SEROSA = np.array([(0.80, 0.44, 0.52), (0.72, 0.30, 0.36), (0.82, 0.46, 0.44), (0.66, 0.34, 0.44)])
_BLOOD = np.array((0.50, 0.10, 0.15))
_VESSEL = np.array((0.58, 0.17, 0.17))  # seen through the mucosa
_LUMEN = planes((0.14, 0.06, 0.05))  # what light is left deep in the gut
_FAT = np.array((0.88, 0.66, 0.42))
_LIVER = np.array((0.50, 0.21, 0.20))


def _shade(
    height: np.ndarray, y: np.ndarray, x: np.ndarray, lamp: tuple[float, float]
) -> np.ndarray:
    """Lambertian shading of a relief lit from above `lamp` (y, x), with the lamp's fall-off."""
    n = height.shape[0]
    dy, dx = (np.gradient(height, 2 / n, axis=k) for k in (0, 1))
    to_y, to_x = np.float32(lamp[0]) - y, np.float32(lamp[1]) - x
    far = to_y * to_y + to_x * to_x
    cosine = (1.2 - dy * to_y - dx * to_x - 0.12 * (dy + dx)) / np.sqrt(
        (1 + dy * dy + dx * dx) * (1.44 + far)
    )
    # Light scattered within the tissue and back from the walls fills the shadows.
    return (0.2 + 0.8 * np.clip(cosine, 0.1, 1.2)) / (1 + 0.25 * far)


def _gut(rng: np.random.Generator, n: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Mucosa (3, n, n): haustral or gastric folds, submucosal vessels, often the lumen ahead."""
    centre = rng.uniform(-0.5, 0.5, 2).tolist()
    warp = smooth(rng, n, 3)
    r = np.sqrt((y - centre[0]) ** 2 + (x - centre[1]) ** 2) + 0.09 * warp
    tube = rng.random() < 0.6
    # Folds ring the lumen and crowd together with depth, hence the logarithm.
    phase = np.log(r.clip(0.05)) * rng.uniform(4, 7) if tube else fractal(rng, n, 2, 2) * 3
    folds = 1 - np.abs(np.sin(phase + 0.6 * smooth(rng, n, 3)))
    height = rng.uniform(0.04, 0.1) * folds**2 + 0.03 * fractal(rng, n, 5, 3)
    height += 0.0035 * fractal(rng, n, 27, 2, 0.8)
    light = _shade(height, y, x, tuple(rng.normal(0, 0.3, 2)))
    colour = rng.dirichlet(np.full(len(_MUCOSA), 0.5)) @ _MUCOSA + rng.normal(0, 0.02, 3)
    image = np.broadcast_to(planes(colour), (3, n, n))
    image = blend(image, colour * (0.95, 0.7, 0.66), 0.6 * inside(fractal(rng, n, 4, 3) - 0.5, 1.6))
    lines = []
    for _ in range(rng.integers(3, 14)):
        heading, start = rng.uniform(0, 2 * np.pi), tuple(rng.uniform(-1, 1, 2))
        vessel = wander(rng, start, heading, rng.uniform(0.6, 1.4), 0.25)
        lines.append((vessel, rng.uniform(0.006, 0.018), rng.uniform(0.4, 0.9)))
        lines.append((wander(rng, tuple(vessel[6]), heading + 0.7, 0.5, 0.25), 0.007, 0.6))
    image = blend(image, _VESSEL, 0.5 * strokes(n, lines))
    image = image * (light * rng.uniform(1.15, 1.4))
    if tube:
        depth = inside(r - rng.uniform(0.1, 0.32), rng.uniform(0.15, 0.4))
        image = blend(image, image * _LUMEN, depth)
    return image


def _abdomen(rng: np.random.Generator, n: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Laparoscopic view (3, n, n): serosa, fat, vessels, at times a liver edge.

    No instrument and no free blood: they are degradations.
    """
    layers = fractal(rng, n, 2, 3, 0.7)
    rough = fractal(rng, n, 5, 5, 0.7)
    angle = rng.uniform(0, np.pi)
    along = np.float32(np.cos(angle)) * y + np.float32(np.sin(angle)) * x
    weave = rng.uniform(5, 11) * along + 2.5 * layers + 0.4 * rough
    strands = np.sin(weave) + 0.6 * np.sin(2.3 * weave + 2 * smooth(rng, n, 6))
    strands += 0.5 * np.sin(5.1 * weave + 2 * smooth(rng, n, 9))
    fibrous = inside(smooth(rng, n, 2) - 0.2, 1.5)
    height = 0.08 * np.abs(layers) + 0.006 * strands * (0.4 + fibrous) + 0.014 * rough
    light = _shade(height, y, x, tuple(rng.normal(0, 0.35, 2)))
    base = rng.dirichlet(np.full(len(_SEROSA), 0.5)) @ _SEROSA + rng.normal(0, 0.03, 3)
    pale = np.minimum(base * 1.1 + (0.03, 0.14, 0.13), 1)
    image = np.broadcast_to(planes(base), (3, n, n))
    image = blend(image, pale, 0.8 * fibrous * inside(-strands, 1.6))
    lobules = fractal(rng, n, 3, 3) + 0.3 * strands + 0.2 * rough + rng.uniform(0.4, 2.4)
    image = blend(image, _FAT * rng.uniform(0.85, 1.05), 0.8 * inside(lobules, 1.4))
    # Between layers that fold over each other no light gets in.
    image = blend(image, 0.35 * _BLOOD, 0.75 * inside(np.abs(layers) - 0.06, 0.3))
    # Fascia and fat are full of fine fibres, drawn out along the pull of the instruments.
    fibres, vessels = [], []
    for _ in range(rng.integers(15, 45)):
        fibre = wander(rng, tuple(rng.uniform(-1, 1, 2)), angle + rng.normal(0, 0.4), 0.6, 0.12)
        fibres.append((fibre, rng.uniform(0.005, 0.016), rng.uniform(0.3, 0.9)))
    for _ in range(rng.integers(2, 12)):
        start, heading = tuple(rng.uniform(-1, 1, 2)), rng.uniform(0, 2 * np.pi)
        vessel = wander(rng, start, heading, rng.uniform(0.4, 1.2), 0.2)
        vessels.append((vessel, rng.uniform(0.006, 0.022), rng.uniform(0.5, 1)))
    image = blend(image, np.minimum(pale * 1.1, 1), 0.5 * strokes(n, fibres))
    if rng.random() < 0.25:
        border = along - 0.5 * np.float32(np.cos(2 * angle)) * x + 0.15 * layers
        organ = inside(border + rng.uniform(0.1, 0.6), 0.03)
        image = blend(image, _LIVER * rng.uniform(0.8, 1.4), organ)
        # The organ's capsule is smooth: it takes the relief of what it hides away.
        capsule = 0.7 + 0.1 * smooth(rng, n, 3) + 0.03 * fractal(rng, n, 20, 2, 0.9) - 0.15 * y
        light = blend(light, capsule, organ)
    image = blend(image, _BLOOD, 0.6 * strokes(n, vessels))
    return image * (light * rng.uniform(1.1, 1.5))


def draw(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an endoscopic frame: (size, size, 3) float32 in [0, 1].

    Half are gut mucosa, half laparoscopy; the scope's round field stop shows in about a third.
    """
    n = canvas(size)
    y, x = coordinates(n)
    image = (_gut if rng.random() < 0.5 else _abdomen)(rng, n, y, x)
    # The sensor's tone curve: mid-tones of a scope are dense, shadows deep.
    image = np.clip(image, 0, 1) ** np.float32(rng.uniform(0.95, 1.3))
    if rng.random() < 0.35:
        stop = ellipse(y, x, tuple(rng.normal(0, 0.06, 2)), (rng.uniform(0.98, 1.2),) * 2)
        image = blend(image, rng.uniform(0, 0.03), 1 - inside(stop, 0.02))
    return develop(rng, image, rng.uniform(0.004, 0.009))
