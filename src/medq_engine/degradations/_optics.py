"""Light: optical density, colours on grey or colour images, point spread functions."""

import numpy as np
from scipy.signal import fftconvolve


def optical_density(image: np.ndarray) -> np.ndarray:
    """Beer-Lambert optical density, natural log, of an image in [0, 1] lit by 1; at most ln 255."""
    return -np.log(np.maximum(image, 1 / 255))


def absorb(image: np.ndarray, density: np.ndarray) -> np.ndarray:
    """The image seen through a layer of optical `density`; negative density removes dye."""
    return image * np.exp(-density)


def lay_over(image: np.ndarray, light: np.ndarray | float, mask: np.ndarray) -> np.ndarray:
    """Mix `image` (H, W, C) with `light` where `mask` (H, W) in [0, 1] says so."""
    return image + (light - image) * mask[..., None]


def channels(colour: tuple[float, float, float], image: np.ndarray) -> np.ndarray:
    """An RGB triple as an array for `image` (H, W, C): a grey sensor sees the mean of the three."""
    rgb = np.asarray(colour, dtype=np.float32)
    return rgb if image.shape[2] == 3 else rgb.mean(keepdims=True)


def luminance(image: np.ndarray) -> np.ndarray:
    """Mean of the channels of (H, W, C), as (H, W)."""
    return image.mean(axis=2)


def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Image (H, W, C) through a point spread function (k, k), k odd, mirrored at the border."""
    half = kernel.shape[0] // 2
    padded = np.pad(image, ((half, half), (half, half), (0, 0)), mode="reflect")
    return fftconvolve(padded, (kernel / kernel.sum())[..., None], mode="valid", axes=(0, 1))
