"""CT: chest, upper abdomen and head in Hounsfield units, shown in one of the usual windows."""

from collections.abc import Callable

import numpy as np

from medq_engine.phantoms._texture import (
    blend,
    canvas,
    coordinates,
    develop,
    ellipse,
    fractal,
    inside,
    smooth,
    strokes,
    wander,
)

# Window centre and width in HU, per body part.
_BODY_WINDOWS = {"soft": (40, 400), "lung": (-500, 1500), "bone": (350, 1800), "wide": (0, 1000)}
_HEAD_WINDOWS = {"brain": (40, 90), "wide": (40, 140), "subdural": (60, 220), "bone": (450, 1900)}


def _bone(
    rng: np.random.Generator, hu: np.ndarray, distance: np.ndarray, shell: float
) -> np.ndarray:
    """Paint a bone (negative `distance`) into `hu`: cortex `shell` thick, trabeculae within."""
    spongy = 220 + 70 * fractal(rng, hu.shape[0], hu.shape[0] // 6, 1)
    hu = blend(hu, np.float32(rng.uniform(650, 1000)), inside(distance, 0.015))
    return blend(hu, spongy, inside(distance + shell, 0.02))


def _spine(
    rng: np.random.Generator, hu: np.ndarray, y: np.ndarray, x: np.ndarray, top: float
) -> np.ndarray:
    """A vertebra whose body begins at `top`: body, pedicles, laminae, processes, canal."""
    side = np.abs(x)
    body = ellipse(y, side, (top + 0.12, 0), (0.11, 0.14))
    canal = ellipse(y, side, (top + 0.29, 0), (0.05, 0.065)) + 0.012 * smooth(rng, y.shape[0], 7)
    arch = np.abs(canal - 0.025) - 0.025
    transverse = ellipse(y, side, (top + 0.31, 0.17), (0.03, 0.12), -0.3)
    spinous = ellipse(y, side, (top + 0.45, 0), (0.12, 0.025))
    hu = _bone(rng, hu, np.minimum.reduce([body, arch, transverse, spinous]), 0.022)
    return blend(hu, 25.0, inside(canal, 0.015))


def _trunk(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wall of the trunk: (HU map, distance to the inner wall); fat, muscle, ribs, spine to come."""
    n = y.shape[0]
    skin = ellipse(y, x, (0, 0), (rng.uniform(0.62, 0.72), rng.uniform(0.88, 0.95)))
    fat = rng.uniform(0.03, 0.1)
    inner = skin + fat + 0.09 + 0.02 * smooth(rng, n, 4)
    hu = blend(np.full((n, n), -1000, np.float32), 20.0, inside(skin, 0.012))
    hu = blend(hu, -100 + 12 * smooth(rng, n, 16), inside(skin + 0.012, 0.012))
    layered = np.sin(50 * skin + 3 * smooth(rng, n, 5))
    hu = blend(hu, np.where(layered > -0.75, 55.0, -60.0), inside(skin + fat, 0.015))
    hu = blend(hu, -95.0 + 8 * smooth(rng, n, 12), inside(inner, 0.012))
    # Oblique cuts through the ribs come at regular angles round the chest.
    azimuth = np.arctan2(x, -y)
    along = np.abs(np.sin(rng.uniform(3.5, 5) * azimuth + rng.uniform(0, 3))) - rng.uniform(
        0.5, 0.75
    )
    ribs = np.maximum(np.abs(inner - 0.03) - 0.026, 0.25 * along)
    hu = _bone(rng, hu, np.maximum(ribs, np.abs(np.abs(azimuth) - 1.6) - 1.25), 0.014)
    return hu, inner


def _chest(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray, place: Callable[[list], list]
) -> np.ndarray:
    """Axial chest in HU: lungs with vessels, mediastinum with heart or great vessels, aorta, spine.

    `place` carries strokes from the chest's coordinates to those of the canvas.
    """
    n = y.shape[0]
    blood = 45.0 if rng.random() < 0.5 else rng.uniform(140, 300)
    hu, inner = _trunk(rng, y, x)
    middle = rng.uniform(0.12, 0.24)
    heart_at, heart_r = (rng.uniform(-0.2, -0.05), rng.uniform(0.08, 0.2)), rng.uniform(0.2, 0.34)
    heart = ellipse(y, x, heart_at, (0.85 * heart_r, 1.15 * heart_r), rng.uniform(0.2, 0.6))
    heart = heart + 0.015 * smooth(rng, n, 5)
    between = np.abs(x) - middle * (0.6 + 0.6 * np.abs(y))
    lungs = np.maximum(inner + 0.02, -np.minimum(heart - 0.02, between))
    airy = rng.uniform(-880, -780) - 40 * y + 22 * fractal(rng, n, n // 8, 2)
    lines = []
    for lung in (-1, 1):
        for _ in range(rng.integers(9, 15)):
            root = (rng.normal(0.05, 0.07), lung * (middle + rng.uniform(0.0, 0.12)))
            heading = rng.uniform(-1.5, 1.5) if lung > 0 else np.pi + rng.uniform(-1.5, 1.5)
            width = rng.uniform(0.012, 0.032)
            vessel = wander(rng, root, heading, rng.uniform(0.2, 0.55), 0.13, 0, 12)
            lines += [(vessel, 0.5 * width, 0.7), (vessel[:7], width, 0.9)]
            twig = wander(rng, tuple(vessel[6]), heading + rng.uniform(-0.9, 0.9), 0.25, 0.15, 0, 8)
            lines.append((twig, 0.4 * width, 0.6))
        # Vessels that cross the slice are round dots, ever smaller towards the pleura.
        spots = np.stack([rng.uniform(-0.45, 0.45, 40), lung * rng.uniform(middle, 0.75, 40)], 1)
        widths = rng.uniform(0.008, 0.026, 40) * (1.2 - np.abs(spots[:, 1]))
        lines += [
            (np.stack([p, [p[0], p[1] + w]]), w, 0.9) for p, w in zip(spots, widths, strict=True)
        ]
    vessels = strokes(n, place(lines))
    # Between the lungs: vessels, oesophagus and nodes in fat.
    core = inside(np.maximum(np.abs(x) - 1.1 * middle, inner + 0.03), 0.02)
    hu = blend(hu, 48.0, core * inside(smooth(rng, n, 9) - rng.uniform(0.1, 0.9), 0.8))
    lung = inside(lungs, 0.012)
    hu = blend(hu, blend(airy, np.float32(0.8 * blood), vessels), lung)
    hu = blend(hu, 45.0, inside(heart, 0.02))
    chambers = inside(fractal(rng, n, 4, 1) - 0.3, 0.3) * inside(heart + 0.05, 0.03)
    hu = blend(hu, np.float32(blood), chambers)
    descending = ellipse(y, x, (0.24, 0.13), (rng.uniform(0.06, 0.085),) * 2)
    hu = blend(hu, np.float32(blood), inside(descending, 0.012))
    windpipe = ellipse(y, x, (0.12, -0.02), (rng.uniform(0.03, 0.055),) * 2)
    hu = blend(hu, -980.0, inside(windpipe, 0.012)) if rng.random() < 0.6 else hu
    return _spine(rng, hu, y, x, 0.2)


def _abdomen(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Axial upper abdomen in HU: liver, spleen, kidneys, bowel with gas, aorta, cava, spine."""
    n = y.shape[0]
    blood = 45.0 if rng.random() < 0.5 else rng.uniform(130, 220)
    hu, inner = _trunk(rng, y, x)
    bowel = fractal(rng, n, 6, 1)
    hu = blend(hu, 35.0 + 15 * smooth(rng, n, 20), inside(np.maximum(-bowel, inner + 0.05), 0.06))
    hu = blend(hu, -900.0, inside(np.maximum(1.9 - bowel, inner + 0.1) + (y + 0.1).clip(0), 0.05))
    wobble = 0.03 * smooth(rng, n, 4)
    gain = 0.35 * (blood - 45)
    liver = np.maximum(ellipse(y, x, (-0.08, -0.42), (0.5, 0.52), 0.3) + wobble, inner + 0.02)
    portal = np.abs(fractal(rng, n, 5, 1)) - 0.07
    organ = blend(np.full_like(y, 60 + gain), 55 + 1.2 * gain, inside(portal, 0.08))
    hu = blend(hu, organ, inside(liver, 0.02))
    spleen = np.maximum(ellipse(y, x, (0.15, 0.62), (0.28, 0.16), 0.3) + wobble, inner + 0.02)
    hu = blend(hu, np.float32(50 + 1.3 * gain), inside(spleen, 0.02))
    for flank in (-1, 1):
        kidney = ellipse(y, x, (0.26, 0.36 * flank), (0.16, 0.11), 0.4 * flank) + 0.3 * wobble
        hu = blend(hu, np.float32(40 + 1.6 * gain), inside(kidney, 0.015))
        hu = blend(hu, -60.0, inside(ellipse(y, x, (0.25, 0.3 * flank), (0.07, 0.05)), 0.02))
        psoas = ellipse(y, x, (0.36, 0.2 * flank), (0.12, 0.08))
        hu = blend(hu, 55.0, inside(psoas, 0.02))
    for at, r in (((0.13, 0.06), 0.055), ((0.13, -0.12), 0.06)):
        hu = blend(hu, np.float32(blood), inside(ellipse(y, x, at, (r, r)), 0.012))
    return _spine(rng, hu, y, x, 0.2)


def _head(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Axial head in HU: scalp, skull with diploe, grey and white matter, ventricles, sulci, falx.

    Three in ten are brain-extracted, as research sets publish them: air begins at the brain's hull.
    """
    n = y.shape[0]
    side = np.abs(x)
    hull = ellipse(y, x / (1 + 0.1 * y), (0, 0), (0.86, rng.uniform(0.66, 0.74)))
    thick = rng.uniform(0.04, 0.08) + 0.006 * smooth(rng, n, 4)
    hu = np.full((n, n), -1000, np.float32)
    if rng.random() < 0.7:
        scalp = rng.uniform(0.04, 0.09)
        hu = blend(hu, 20.0 + 25 * smooth(rng, n, 8), inside(hull - thick - scalp, 0.012))
        hu = blend(hu, np.float32(rng.uniform(900, 1500)), inside(hull - thick, 0.015))
        diploe = np.abs(hull - 0.5 * thick) - 0.16 * thick
        hu = blend(hu, 500.0 + 80 * smooth(rng, n, 20), inside(diploe, 0.02))
    wind = 1.5 * smooth(rng, n, 4) + 0.9 * smooth(rng, n, 9)
    folds = np.abs(np.sin(8 * np.arctan2(x, y) + wind)) * 0.09
    folds = folds + (-hull - rng.uniform(0.1, 0.24)).clip(0)
    matter = blend(
        np.full((n, n), 39, np.float32), 29.0, inside(0.07 - np.minimum(folds, -hull), 0.06)
    )
    matter = blend(matter, 12.0, inside(folds - rng.uniform(0.0, 0.02), 0.02))
    if rng.random() < 0.7:
        wide = rng.uniform(0.4, 1.6)
        front = ellipse(y, side, (-0.22, 0.09), (rng.uniform(0.1, 0.17), 0.045 * wide), -0.3)
        back = ellipse(y, side, (0.28, 0.2), (rng.uniform(0.06, 0.2), 0.045 * wide), 0.45)
        third = ellipse(y, side, (0.03, 0), (0.11, 0.02 * wide))
        deep = np.minimum(
            ellipse(y, side, (-0.02, 0.32), (0.17, 0.06), -0.25),
            ellipse(y, side, (0.08, 0.12), (0.13, 0.09), 0.3),
        )
        matter = blend(matter, 38.0, inside(deep, 0.03))
        matter = blend(matter, 7.0, inside(np.minimum.reduce([front, back, third]), 0.025))
    matter = blend(matter, 48.0, inside(side - 0.006 + (0.35 - np.abs(y)).clip(0), 0.015))
    return blend(hu, matter, inside(hull + 0.008, 0.015))


def draw(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an axial slice: (size, size) float32 in [0, 1] through one of the usual windows.

    Half are chests, the others abdomens and heads; one in six is reconstructed on a small field.
    Air is black, or dark grey in a lung window.
    """
    n = canvas(size)
    part = rng.choice(["chest", "abdomen", "head"], p=[0.5, 0.15, 0.35])
    angle, zoom, centre = rng.normal(0, 0.05), rng.uniform(0.9, 1.08), rng.normal(0, 0.03, 2)
    if rng.random() < 0.17:
        zoom = rng.uniform(1.4, 2.4)
        centre = -zoom * (rng.uniform((-0.2, -0.35), (0.35, 0.35)))
    y, x = coordinates(n, angle, tuple(centre), zoom)
    y, x = y + 0.015 * smooth(rng, n, 3), x + 0.015 * smooth(rng, n, 3)

    def place(lines: list) -> list:
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return [(points @ turn * zoom + centre, zoom * w, opacity) for points, w, opacity in lines]

    if part == "chest":
        hu = _chest(rng, y, x, place)
    else:
        hu = (_head if part == "head" else _abdomen)(rng, y, x)
    windows = _HEAD_WINDOWS if part == "head" else _BODY_WINDOWS
    if rng.random() < 0.7:
        rest = 0.78 + 0.12 * x * x if part != "head" else 1.0 - 0.25 * x * x
        table = np.abs(np.abs(y - rest - 0.06) - 0.03) - 0.008
        hu = np.maximum(hu, blend(np.full_like(hu, -1000), -250.0, inside(table, 0.012)))
    level, width = windows[rng.choice(list(windows), p=[0.4, 0.35, 0.15, 0.1])]
    width = width * rng.uniform(0.85, 1.2)
    # The mottle that every good scan has: barely visible, whatever the window.
    hu = hu + width * rng.uniform(0.004, 0.01) * fractal(rng, n, size // 3, 1)
    return develop(rng, np.clip((hu - level) / width + 0.5, 0, 1), rng.uniform(0.003, 0.007))
