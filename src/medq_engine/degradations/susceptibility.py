"""Susceptibility artifact.

Cause: metal, a clip or a dental brace, or the blood of a bleed is magnetised otherwise than tissue
and distorts the main field around it as a dipole. Spins inside one voxel fall out of phase where
the field is steep, which leaves a void; elsewhere position along the readout is mistaken, so that
signal is stretched, or piled up in a bright rim at the border of the void.

Simulation: a sphere of metal with its dipole field, the main field in the plane of the image. The
light of each pixel is attenuated by the gradient of the field and moved along the readout in
proportion to the field, keeping its sum. The sphere grows with strength.

Source: Lüdeke, Röschmann and Tischler, Susceptibility artefacts in NMR imaging, Magnetic Resonance
Imaging 3, 1985; Schenck, The role of magnetic susceptibility in magnetic resonance imaging,
Medical Physics 23, 1996 (field of a sphere).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates, pick_point, short_side, soften
from medq_engine.degradations._optics import luminance
from medq_engine.degradations.base import Degradation

RADIUS = 0.10  # of the sphere, in short sides, at strength 1
SHIFT = 0.10  # displacement at the equator of the sphere, in short sides
DEPHASING = 0.10  # a field that changes by its value at the equator over this length leaves 61 %
PARTS = 4  # of each pixel along the readout, each moved and stretched on its own


def dipole(
    rows: np.ndarray, columns: np.ndarray, radius: float, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Field around a magnetised sphere in a plane through its centre, and how steep it is.

    The field is (radius / r)^3 (3 cos^2 - 1), 2 at the poles of the sphere and -1 at its equator;
    within a pixel of the centre and in the sphere it is continued from the surface.

    Args:
        rows, columns: Coordinates (H, 1) and (1, W) from the centre of the sphere.
        radius: Radius of the sphere, in the unit of the coordinates.
        axis: Direction of the main field, 0 across the rows or 1 across the columns.

    Returns:
        The field and the length of its gradient, both (H, W).
    """
    pixel = abs(rows[1, 0] - rows[0, 0])
    distance = np.maximum(np.hypot(rows, columns), 1e-6)
    cosine2 = ((rows if axis == 0 else columns) / distance) ** 2
    distance = np.maximum(distance, max(radius, pixel))
    field = (radius / distance) ** 3 * (3 * cosine2 - 1)
    turn = np.sqrt((3 * cosine2 - 1) ** 2 + 4 * cosine2 * (1 - cosine2))
    return field, 3 * radius**3 / distance**4 * turn


def distort(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Image (H, W, C) with the light of each pixel moved by `shift` (H, W) pixels to the right.

    Light is kept: it piles up where the shift converges, and what leaves the image is lost.
    """
    height, width, depth = image.shape
    edges = np.arange(PARTS * width + 1) / PARTS
    # The shift is known at the centres of pixels.
    before = np.clip(np.floor(edges - 0.5).astype(int), 0, width - 2)
    share = np.clip(edges - 0.5 - before, 0, 1)
    moved = edges + shift[:, before] * (1 - share) + shift[:, before + 1] * share
    moved = np.clip(moved, -0.5, width + 0.5)  # light that leaves ends up in a margin
    start, stop = np.minimum(moved[:, :-1], moved[:, 1:]), np.maximum(moved[:, :-1], moved[:, 1:])
    first = np.floor(start).astype(int)
    # A part covers its first pixel and the next one.
    inner = np.clip((first + 1 - start) / np.maximum(stop - start, 1e-6), 0, 1) / PARTS
    places = (first + 1 + (width + 3) * np.arange(height)[:, None]).ravel()
    planes = []
    for channel in range(depth):
        light = np.repeat(image[..., channel], PARTS, axis=1)
        near = (light * inner).ravel()
        cells = (width + 3) * height
        plane = np.bincount(places, near, cells)
        plane += np.bincount(places + 1, light.ravel() / PARTS - near, cells)
        planes.append(plane.reshape(height, width + 3)[:, 1 : width + 1])
    return np.stack(planes, axis=2)


@simulator
def susceptibility(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A void with bright borders; strength 1 is a sphere of metal with a radius of 0.10."""
    field_axis, readout = (int(axis) for axis in rng.integers(2, size=2))
    sign = int(rng.choice((-1, 1)))
    rows, columns = coordinates(image.shape)
    light = luminance(image)
    body = soften((light >= 0.1 * light.max()).astype(np.float32), 0.08)
    row, column = pick_point(body - 0.7, rng)
    radius = strength * RADIUS
    field, slope = dipole(rows - row, columns - column, radius, field_axis)
    signal = np.exp(-0.5 * (DEPHASING * slope) ** 2)
    shift = sign * SHIFT * short_side(image) * field
    left = image * signal[..., None]
    if readout == 0:
        return distort(left.swapaxes(0, 1), shift.T).swapaxes(0, 1)
    return distort(left, shift)


DEGRADATION = Degradation(
    name="susceptibility",
    label="susceptibility artifact",
    modalities=("mri",),
    scope="modality-specific",
    family="susceptibility",
    aspect="none",
    cause="Metal distorts the main field around it as a dipole.",
    parameters=(
        "strength: radius of the metal, to 0.10 of the short side, where the field displaces by "
        "0.10",
        "seed: place of the metal, in the body",
        "seed: readout axis and axis of the main field, of two each, and sign of the displacement",
    ),
    source="Lüdeke, Röschmann and Tischler, Magnetic Resonance Imaging 3, 1985",
    simulate=susceptibility,
    measure="ms-ssim",
    mild=(0.014, 0.026),
    severe=(0.09, 0.15),
)
