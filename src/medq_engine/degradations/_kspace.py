"""Magnetic resonance raw data: spatial frequencies of the object, one line a phase encoding."""

import numpy as np

from medq_engine.degradations._fields import DETECTOR, short_side


def kspace(image: np.ndarray) -> np.ndarray:
    """Complex k-space (H, W, C) of `image`, in the order of `numpy.fft.fftfreq`."""
    return np.fft.fft2(image, axes=(0, 1))


def magnitude(data: np.ndarray) -> np.ndarray:
    """The magnitude image (H, W, C) that the scanner shows for k-space `data`."""
    return np.abs(np.fft.ifft2(data, axes=(0, 1)))


def frequencies(image: np.ndarray, axis: int) -> np.ndarray:
    """Cycles per field of view along `axis` (0 or 1), shaped to broadcast against (H, W, C)."""
    length = image.shape[axis]
    cycles = np.round(np.fft.fftfreq(length) * length)
    return cycles.reshape(-1, 1, 1) if axis == 0 else cycles.reshape(1, -1, 1)


def nyquist(image: np.ndarray, axis: int) -> float:
    """Highest frequency of the acquisition along `axis`, in cycles per field of view.

    That of `DETECTOR` pixels a short side, whatever the size of `image`, so that an artefact lies
    at the same frequencies of the object at all sizes. Larger images have lines beyond it, smaller
    ones lack the outermost.
    """
    return DETECTOR / 2 * image.shape[axis] / short_side(image)


def displacement(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Factor that moves the object in k-space (Fourier shift theorem).

    Args:
        image: Image (H, W, C), for its shape alone.
        rows, columns: Displacement downwards and to the right in fields of view, of any shape that
            broadcasts against (H, W, C): each line may belong to an object in another place.
    """
    turns = rows * frequencies(image, 0) + columns * frequencies(image, 1)
    return np.exp(-2j * np.pi * turns)
