"""Magnetic resonance raw data: spatial frequencies of the object, one line a phase encoding."""

import numpy as np


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
