"""Parallel-beam tomography. Reconstruction is linear, so an error of the sinogram is reconstructed
alone and added to the picture: fast, and the picture itself is never resampled.

Source: Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, chapter 3.
"""

from functools import lru_cache

import numpy as np
from scipy.sparse import csc_matrix

from medq_engine.degradations._fields import DETECTOR, resize
from medq_engine.degradations._optics import luminance

VIEWS = 180  # over half a turn, one a degree
# Half a step off the axes and the diagonals of the pixel grid: along a diagonal the pixels would
# line up into ripples of the projection.
ANGLES = np.pi * (np.arange(VIEWS) + 0.5) / VIEWS
# Line integral of a white object (1.0) as wide as the field of view: a body of soft tissue (0.5)
# over two thirds of it then attenuates about e^4, as 200 mm of water does.
ATTENUATION = 12.0


# Share of a picture that is taken to be at least as dark as air: a window wide enough for lungs
# shows air as grey, which attenuates nothing all the same.
AIR_PERCENTILE = 5


def ray_offsets(size: int) -> np.ndarray:
    """Signed distances (detectors,) of the rays of a view from the axis, in sides of the slice."""
    detectors = int(np.ceil(size * np.sqrt(2))) + 3
    detectors += (detectors - size) % 2  # the axis falls on the centre of the image
    return (np.arange(detectors) - (detectors - 1) / 2) / size


@lru_cache(maxsize=4)
def _system_matrix(size: int) -> csc_matrix:
    """Projector from size x size pixels to (VIEWS, detectors), pixel driven, linear weights."""
    detectors = ray_offsets(size).size
    axis = np.arange(size) - (size - 1) / 2
    position = (
        axis[:, None, None] * np.sin(ANGLES) + axis[None, :, None] * np.cos(ANGLES)
    ).reshape(-1, VIEWS) + (detectors - 1) / 2
    left = np.floor(position).astype(np.int32)
    weight = (position - left).astype(np.float32)
    rows = left + detectors * np.arange(VIEWS, dtype=np.int32)
    return csc_matrix(
        (
            np.stack([1 - weight, weight], axis=2).ravel(),
            np.stack([rows, rows + 1], axis=2).ravel(),
            np.arange(size * size + 1) * 2 * VIEWS,
        ),
        shape=(VIEWS * detectors, size * size),
    )


def to_grid(image: np.ndarray) -> np.ndarray:
    """Slice (n, n), n at most DETECTOR, of an image (H, W, C): 0 is air, also around a short side.

    Grey above air is taken as proportional to attenuation, as it is inside a display window.
    """
    height, width = image.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    grey = luminance(image)
    grey = np.maximum(grey - np.percentile(grey, AIR_PERCENTILE), 0)
    square = np.pad(grey, ((top, side - height - top), (left, side - width - left)))
    size = min(side, DETECTOR)
    return np.clip(resize(square, (size, size)), 0, 1)


def from_grid(plane: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A slice (n, n) of the grid of `to_grid` back on the pixels (H, W) of `image`."""
    height, width = image.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return resize(plane, (side, side))[top : top + height, left : left + width]


def project(plane: np.ndarray) -> np.ndarray:
    """Line integrals (VIEWS, detectors) of attenuation, no unit, of a slice (n, n)."""
    size = plane.shape[0]
    return (_system_matrix(size) @ plane.ravel()).reshape(VIEWS, -1) * (ATTENUATION / size)


def _back_project(sinogram: np.ndarray, size: int) -> np.ndarray:
    """Filtered back-projection (Ram-Lak) of (VIEWS, detectors) to a slice (size, size)."""
    detectors = sinogram.shape[1]
    offset = np.arange(-detectors, detectors)
    odd = offset % 2 == 1
    ramp = np.where(offset == 0, 0.25, 0.0)
    ramp[odd] = -1 / (np.pi * offset[odd]) ** 2
    response = np.fft.rfft(np.fft.ifftshift(ramp))
    spectrum = np.fft.rfft(sinogram, n=2 * detectors, axis=1) * response
    filtered = np.fft.irfft(spectrum, axis=1)[:, :detectors].astype(np.float32)
    plane = _system_matrix(size).T @ filtered.ravel()
    return plane.reshape(size, size) * (np.pi / VIEWS * size / ATTENUATION)


def add_error(image: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Image (H, W, C) plus the reconstruction of a sinogram `error` (VIEWS, detectors)."""
    size = min(max(image.shape[:2]), DETECTOR)
    return image + from_grid(_back_project(error, size), image)[..., None]


def count(
    line_integrals: np.ndarray,
    photons: float | np.ndarray,
    rng: np.random.Generator,
    electronic: float = 0.0,
) -> np.ndarray:
    """Line integrals as measured: Poisson counts with the noise of the electronics, at least one.

    Args:
        line_integrals: True ones, (VIEWS, detectors).
        photons: Emitted a ray, one number or (VIEWS, 1).
        rng: Source of the noise.
        electronic: Standard deviation of the noise of the electronics, in photons.
    """
    counts = rng.poisson(photons * np.exp(-line_integrals)).astype(float)
    if electronic:
        counts += electronic * rng.standard_normal(counts.shape)
    return np.log(photons / np.maximum(counts, 1))
