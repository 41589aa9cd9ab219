"""Colour fundus photographs: disc, macula, vessel tree, choroid, round field on black."""

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

# Backgrounds of the retina (RGB) in public sets: red, orange, yellow-brown, pale, dark brown.
_HUES = np.array(
    [
        (0.92, 0.34, 0.24),
        (0.90, 0.42, 0.10),
        (0.72, 0.41, 0.20),
        (0.84, 0.54, 0.42),
        (0.55, 0.27, 0.10),
    ]
)


def _tree(rng: np.random.Generator, disc: np.ndarray, side: float, width: float) -> list:
    """Strokes of one vessel tree: temporal arcades round the macula, nasal trunks, branches, twigs.

    `disc` is the (y, x) of the optic disc; `side` is 1 where the macula lies to its right, else -1.
    """
    lines = []
    for up in (-1, 1):
        for nasal in (False, True):
            # Temporal arcades leave steeply and curl round the macula; nasal trunks run straight.
            steep = rng.uniform(1.9, 2.5) if nasal else rng.uniform(1.15, 1.6)
            turn = rng.uniform(-0.3, 0.3) if nasal else rng.uniform(1.0, 1.7)
            length = rng.uniform(0.7, 1.3) if nasal else rng.uniform(1.6, 2.2)
            caliber = width * (0.75 if nasal else 1.0)
            heading = up * steep if side > 0 else np.pi - up * steep
            trunk = wander(rng, tuple(disc), heading, length, 0.1, -up * side * turn, 24)
            for k in rng.choice(np.arange(3, 22), rng.integers(4, 7), replace=False):
                flow = np.arctan2(*(trunk[k + 1] - trunk[k]))
                away = rng.choice([-1, 1])
                heading = flow + away * rng.uniform(0.5, 1.0)
                reach = rng.uniform(0.35, 0.9)
                branch = wander(rng, tuple(trunk[k]), heading, reach, 0.12, -away * 0.5, 12)
                if rng.random() < 0.6:
                    fork = tuple(branch[rng.integers(3, 8)])
                    twig = wander(rng, fork, flow + away * 0.2, 0.5 * reach, 0.15, 0.0, 8)
                    lines.append((twig, caliber * 0.3, 0.6))
                lines.append((branch, caliber * rng.uniform(0.35, 0.6), rng.uniform(0.6, 0.9)))
            lines += [(trunk[k : k + 9], caliber * (1 - k / 32), 1.0) for k in (16, 8, 0)]
    return lines


def draw(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a fundus photograph: (size, size, 3) float32 in [0, 1].

    Either eye, centred on the macula or the disc; the field whole, cut above and below, or
    overfilling the picture.
    """
    n = canvas(size)
    framing = rng.choice(["round", "cut", "close"], p=[0.5, 0.32, 0.18])
    zoom = rng.uniform(1.5, 2.0) if framing == "close" else rng.uniform(0.68, 1.0)
    centre = rng.normal(0, 0.02, 2) if framing != "close" else rng.uniform(-0.4, 0.4, 2)
    # From here on coordinates are of the retina: the field of view has radius 1.
    y, x = coordinates(n, 0.0, tuple(centre), zoom)
    r = np.sqrt(y * y + x * x)
    side = float(rng.choice([-1, 1]))
    off_centre = rng.uniform(0, 0.2) if rng.random() < 0.25 else rng.uniform(0.45, 0.8)
    disc = np.array([rng.normal(0, 0.08), -side * off_centre])
    macula = disc + np.array([rng.normal(0.06, 0.04), side * rng.uniform(0.6, 0.72)])

    hue = rng.dirichlet(np.full(len(_HUES), 0.3)) @ _HUES
    hue = (hue * rng.uniform(0.75, 1.05) + rng.normal(0, 0.015, 3)).clip(0.03, 1)
    # Evenly exposed; yet every fundus camera loses some light towards the rim.
    light = 1.05 - rng.uniform(0.05, 0.3) * r * r + 0.04 * smooth(rng, n, 2)
    tigroid = 0.08 if rng.random() < 0.3 else 0.02  # choroidal vessels show in thin pigment
    light -= tigroid * np.abs(fractal(rng, n, 8, 2))
    light += 0.022 * fractal(rng, n, max(24, size // 3), 2, 0.9)
    spread = rng.uniform(0.012, 0.05)
    fovea = np.exp(-((y - macula[0]) ** 2 + (x - macula[1]) ** 2) / np.float32(spread))
    light *= 1 - np.float32(rng.uniform(0.2, 0.45)) * fovea
    # Shading and pigment absorb blue and green more than red, so dark parts are redder.
    image = planes(hue) + planes(hue * (0.7, 1.1, 1.3)) * (light - 1)

    radius = rng.uniform(0.13, 0.18)
    edge = ellipse(y, x, tuple(disc), (radius, radius * rng.uniform(0.82, 1.0)), rng.normal(0, 0.3))
    pale = np.minimum(hue * 1.15 + rng.uniform([0.02, 0.2, 0.08], [0.12, 0.36, 0.25]), 1.0)
    cup = np.minimum(pale + np.array((0.05, 0.12, 0.14)), 1.0)
    image = blend(image, pale, 0.9 * inside(edge, 0.05))
    nudge = tuple(disc + rng.normal(0, 0.01, 2))
    cupped = ellipse(y, x, nudge, (radius * rng.uniform(0.3, 0.55),) * 2)
    image = blend(image, cup, 0.8 * inside(cupped, 0.06))

    width = rng.uniform(0.02, 0.032)
    # Veins are wider and darker; arteries thinner, brighter, with less contrast.
    for caliber, shade in ((width, (0.62, 0.34, 0.4)), (0.75 * width, (0.82, 0.52, 0.55))):
        tree = _tree(rng, disc + rng.normal(0, 0.01, 2), side, caliber)
        cover = strokes(n, [(p * zoom + centre, w * zoom, a) for p, w, a in tree])
        image = image * (1 - planes(0.85 * (1 - np.array(shade))) * cover)

    field = inside(r - 1, 0.012)
    if framing == "cut":
        limit = rng.uniform(0.7, 0.88)
        field *= inside(np.abs(y) - limit, 0.012)
    if framing != "close":
        image = blend(image, rng.uniform(0, 0.03), 1 - field)
    return develop(rng, image, rng.uniform(0.004, 0.009))
