"""Head MRI: axial, sagittal and coronal slices in T1, T2, FLAIR and proton-density weighting."""

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
)

# Relative signal of fluid, grey matter, white matter, fat (scalp, marrow), muscle.
_WEIGHTINGS = {
    "t1": (0.14, 0.62, 0.90, 1.00, 0.45),
    "t2": (0.98, 0.56, 0.36, 0.62, 0.22),
    "flair": (0.06, 0.66, 0.50, 0.60, 0.30),
    "pd": (0.72, 0.84, 0.66, 0.80, 0.50),
}


# Maps (n, n): depth below the hull of the brain and distance to the pia, both in canvas units and
# positive inside; coverage by ventricles and cisterns; coverage by deep grey nuclei.
_Layers = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _sulci(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray, depth: np.ndarray, reach: float
) -> np.ndarray:
    """Distance (n, n) to the pial surface of a folded cortex, given `depth` below its hull.

    Sulci run inwards from the hull, wind, and end at about `reach`; shallower folds cross them.
    """
    n = y.shape[0]
    # Sulci are of one width, so a small section has fewer.
    count = int(rng.integers(14, 21) * np.clip(1.25 * depth.max(), 0.45, 1))
    azimuth = np.arctan2(x, y)
    winding = 1.6 * smooth(rng, n, 4) + 0.9 * smooth(rng, n, 9)
    main = np.abs(np.sin(0.5 * (count + count % 2) * azimuth + winding))
    # The wall of a sulcus is as far as the phase is from a zero, times the arc of one period.
    main = main * (2 / count) * np.sqrt(x * x + y * y).clip(0.25)
    cross = 0.075 * np.abs(smooth(rng, n, 11))
    end = np.float32(reach) * (1 + 0.35 * smooth(rng, n, 7))
    main = main + (depth - end).clip(0)
    cross = cross + (depth - 0.55 * end).clip(0)
    return np.minimum(np.minimum(main, cross), depth)


def _foliated(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """Distance (n, n) to the pial surface of the cerebellum: fine parallel folia."""
    n = y.shape[0]
    wave = np.abs(np.sin(rng.uniform(16, 24) * np.hypot(y, 0.6 * x) + 0.8 * smooth(rng, n, 5)))
    return np.minimum(0.045 * wave + 0.5 * (depth - 0.12).clip(0), depth)


def _axial(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> _Layers:
    """Axial slice: (depth below the hull, pial distance, fluid, deep grey) at a random level."""
    level = rng.choice(["basal", "ventricles", "centrum", "vertex"], p=[0.2, 0.4, 0.25, 0.15])
    shrink = rng.uniform(0.45, 0.75) if level == "vertex" else rng.uniform(0.9, 1.0)
    side = np.abs(x)
    taper = 1 + rng.uniform(0.05, 0.14) * y  # the occiput is broader than the forehead
    depth = -ellipse(y, x / taper, (0, 0), (0.86 * shrink, rng.uniform(0.66, 0.74) * shrink))
    pial = _sulci(rng, y, x, depth, rng.uniform(0.2, 0.3))
    gap = side + 0.006 * smooth(rng, y.shape[0], 5)
    fluid = np.zeros_like(y)
    grey = np.zeros_like(y)
    if level in ("centrum", "vertex"):
        pial = np.minimum(pial, np.abs(gap) + 0.006)
    else:
        pial = np.minimum(pial, np.abs(gap) + (0.33 - np.abs(y + 0.02)).clip(0))
    if level == "ventricles":
        wide = rng.uniform(0.4, 1.4)
        front = ellipse(y, side, (-0.22, 0.09), (rng.uniform(0.1, 0.17), 0.042 * wide), -0.3)
        back = ellipse(y, side, (0.28, 0.2), (rng.uniform(0.06, 0.2), 0.045 * wide), 0.45)
        third = ellipse(y, side, (0.02, 0.0), (0.12, 0.018 * wide))
        fluid = inside(np.minimum(np.minimum(front, back), third), 0.02)
        nuclei = [((-0.2, 0.19), (0.12, 0.045), -0.25), ((-0.02, 0.32), (0.17, 0.06), -0.25)]
        nuclei += [((0.08, 0.12), (0.13, 0.09), 0.3)]
        grey = inside(np.minimum.reduce([ellipse(y, side, *part) for part in nuclei]), 0.03)
        insula = np.abs(side - 0.46 - 0.05 * np.cos(6 * y)) + (np.abs(y + 0.03) - 0.16).clip(0)
        pial = np.minimum(pial, insula)
    if level == "basal":
        hind = ellipse(y, side, (0.45, 0.25), (0.3, 0.33))
        cleft = inside(np.abs(hind), 0.03)
        pial = np.where(hind < 0, _foliated(rng, y - 0.2, x, -hind), pial)
        stem = ellipse(y, side, (0.1, 0), (0.16, 0.17))
        cistern = inside(np.abs(stem - 0.03) - 0.02, 0.02)
        pial = np.where(stem < 0, 0.3, pial)
        fourth = inside(ellipse(y, side, (0.32, 0), (0.05, 0.06)), 0.02)
        fluid = np.maximum.reduce([fourth, 0.6 * cistern, 0.6 * cleft])
    return depth, pial, fluid, grey


def _coronal(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> _Layers:
    """Coronal slice through the thalami: (depth, pial distance, fluid, deep grey)."""
    side = np.abs(x)
    upper = ellipse(y, side, (-0.08, 0.0), (0.66, rng.uniform(0.7, 0.78)))
    temporal = ellipse(y, side, (0.32, 0.42), (0.27, 0.27), 0.2)
    depth = -np.minimum(np.maximum(upper, y - 0.32 + 0.1 * side), temporal)
    pial = _sulci(rng, y, x, depth, rng.uniform(0.2, 0.3))
    sylvian = np.abs(y - 0.14 + 0.15 * (side - 0.5)) + (0.4 - side).clip(0)
    pial = np.minimum(pial, np.minimum(sylvian, side + 0.006 + (y + 0.28).clip(0)))
    wide = rng.uniform(0.4, 1.4)
    lateral = ellipse(y, side, (-0.15, 0.1), (0.05 * wide, 0.12), 0.5)
    third = ellipse(y, side, (0.08, 0), (0.12, 0.018 * wide))
    horn = ellipse(y, side, (0.3, 0.36), (0.02, 0.06 * wide), 0.4)
    fluid = inside(np.minimum.reduce([lateral, third, horn]), 0.02)
    nuclei = [((0.05, 0.12), (0.12, 0.08), 0.0), ((0.06, 0.32), (0.14, 0.05), 0.3)]
    grey = inside(np.minimum.reduce([ellipse(y, side, *part) for part in nuclei]), 0.03)
    stem = ellipse(y, side, (0.45, 0), (0.25, 0.14))
    depth = np.maximum(depth, -stem)
    return depth, np.where(stem < 0, 0.3 + stem, pial), fluid, grey


def _sagittal(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> _Layers:
    """Sagittal slice at or beside the midline: (depth, pial distance, fluid, deep grey)."""
    cerebrum = ellipse(y, x, (-0.14, 0.0), (0.6, rng.uniform(0.8, 0.87)), rng.normal(0.08, 0.03))
    cerebrum = np.maximum(cerebrum, y - 0.3 + 0.22 * x)
    hind = ellipse(y, x, (0.4, 0.42), (0.23, 0.29), 0.2)
    stem = ellipse(y, x, (0.42, 0.05), (0.36, 0.1), -0.2)
    pons = ellipse(y, x, (0.33, 0.0), (0.12, 0.11))
    stem = np.minimum(stem, pons)
    depth = -np.minimum.reduce([cerebrum, hind, stem])
    pial = _sulci(rng, y + 0.05, x, -cerebrum, rng.uniform(0.22, 0.34))
    pial = np.where(hind < 0, _foliated(rng, y - 0.3, x - 0.1, -hind), pial)
    pial = np.where(stem < 0, 0.3, pial)
    fluid, grey = np.zeros_like(y), np.zeros_like(y)
    if rng.random() < 0.6:
        # The midline: the callosal arch, fluid below it, the thalamus, the fourth ventricle.
        arch = ellipse(y, x, (0.02, 0.02), (0.26, 0.4))
        callosum = np.maximum(np.abs(arch) - 0.035, y - 0.06)
        below = np.maximum(np.abs(arch + 0.075) - rng.uniform(0.02, 0.04), y + 0.02)
        fourth = ellipse(y, x, (0.36, 0.17), (0.1, 0.04), -0.3)
        fluid = inside(np.minimum(below, fourth), 0.02)
        grey = inside(ellipse(y, x, (0.06, 0.04), (0.1, 0.16)), 0.03)
        pial = np.where(callosum < 0, 0.3, pial)
    return depth, pial, fluid, grey


def draw(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a head slice: (size, size) float32 in [0, 1], air black.

    Orientation, level, weighting, position and build vary; half are brain-extracted, the others
    have skull and scalp, one in ten is a close-up.
    """
    n = canvas(size)
    zoom = rng.uniform(1.4, 1.9) if rng.random() < 0.1 else rng.uniform(0.76, 0.98)
    y, x = coordinates(n, rng.normal(0, 0.08), tuple(rng.normal(0, 0.05, 2)), zoom)
    # No head is an ellipse: one slow warp makes it asymmetric and individual.
    y, x = y + 0.018 * smooth(rng, n, 3), x + 0.018 * smooth(rng, n, 3)
    plane = rng.choice(["axial", "coronal", "sagittal"], p=[0.6, 0.2, 0.2])
    slicer = {"axial": _axial, "coronal": _coronal, "sagittal": _sagittal}[plane]
    depth, pial, ventricles, deep = slicer(rng, y, x)

    weighting = rng.choice(list(_WEIGHTINGS), p=[0.45, 0.3, 0.15, 0.1])
    levels = np.array(_WEIGHTINGS[weighting]) * rng.uniform(0.95, 1.05, 5) * rng.uniform(0.8, 1.05)
    fluid, grey, white, fat, muscle = levels.astype(np.float32)
    ribbon = rng.uniform(0.045, 0.065)
    tissue = blend(np.full_like(y, grey), white, inside(ribbon - pial, 0.035))
    tissue = blend(tissue, 0.75 * grey + 0.25 * white, deep)
    opened = rng.uniform(-0.003, 0.01)  # how far atrophy opens the sulci
    tissue = blend(tissue, fluid, np.maximum(inside(pial - opened, 0.022), ventricles))
    tissue = tissue * (1 + 0.02 * fractal(rng, n, size // 4, 2, 0.9) + 0.02 * smooth(rng, n, 3))

    image = np.zeros_like(y)
    if rng.random() < 0.5:
        around = -depth
        if plane != "axial":
            # Below the brain are face and neck: fat, muscle and air spaces.
            body = np.maximum(np.abs(x) - rng.uniform(0.6, 0.75), 0.15 - y)
            soft = fractal(rng, n, 6, 3)
            flesh = np.select([soft > 0.5, soft > -0.7], [fat, muscle], 0.04)
            face = np.minimum(body, around - 0.17)
            image = blend(image, 0.85 * flesh, inside(face, 0.03) * inside(0.16 - y, 0.1))
        rind = 0.15 + 0.02 * smooth(rng, n, 3)
        image = blend(
            image, 0.9 * fat * (1 + 0.1 * smooth(rng, n, 14)), inside(around - rind, 0.025)
        )
        image = blend(image, 0.05, inside(around - rind + 0.045, 0.02))
        image = blend(image, 0.55 * fat, inside(np.abs(around - 0.066) - 0.01, 0.02))
        image = blend(image, fluid, inside(around - 0.035, 0.02))
    image = blend(image, tissue, inside(-depth, 0.025))
    return develop(rng, np.clip(image, 0, 1), rng.uniform(0.004, 0.008))
