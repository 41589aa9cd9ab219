"""Image statistics that follow quality and not anatomy: what no-reference quality measures look at.

Mean-subtracted contrast-normalised coefficients with their neighbour products (BRISQUE, Mittal et
al. 2012), the power spectrum by radius and direction (ringing, stripes, blur), gradients, colour,
and how unevenly contrast and light lie over the field. No weights, so nothing has to be learnt
before a fault that nobody taught can be told from its neighbours.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

# Statistics of texture depend on the grid, so every image is brought to the same one.
SIDE = 96
BLOCK = 12
MSCN_SIGMA = 7 / 6
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
ROW, COLUMN = np.mgrid[-SIDE // 2 : SIDE // 2, -SIDE // 2 : SIDE // 2]
RADIUS = np.hypot(ROW, COLUMN)
ANGLE = np.arctan2(ROW, COLUMN) % np.pi


def texture(grey: np.ndarray) -> list[float]:
    """MSCN coefficients, products of neighbours, gradients of one scale; `grey` is (H, W)."""
    mean = ndimage.gaussian_filter(grey, MSCN_SIGMA)
    variance = ndimage.gaussian_filter(grey * grey, MSCN_SIGMA) - mean * mean
    contrast = np.sqrt(np.maximum(variance, 0))
    mscn = (grey - mean) / (contrast + 1 / 255)
    values = [mscn.std(), (mscn**4).mean(), np.abs(mscn).mean(), contrast.mean(), contrast.std()]
    for shift in SHIFTS:
        product = mscn * np.roll(mscn, shift, (0, 1))
        values += [product.mean(), product.std()]
    down, across = np.gradient(grey)
    return [*values, np.abs(down).mean(), np.abs(across).mean(), down.std(), across.std()]


def spectrum(grey: np.ndarray) -> list[float]:
    """Log amplitude in eight rings and eight directions, and its peaks (stripes are peaks)."""
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2(grey - grey.mean())))
    log = np.log(amplitude + 1e-3)
    rings = [log[(6 * k <= RADIUS) & (6 * k + 6 > RADIUS)].mean() for k in range(8)]
    middle = (RADIUS > 4) & (RADIUS < 40)
    step = np.pi / 8
    fans = [log[middle & (k * step <= ANGLE) & ((k + 1) * step > ANGLE)].mean() for k in range(8)]
    peaks = np.sort(log[middle])[-20:]
    return [*rings, *fans, peaks[-1], peaks.mean()]


def unevenness(colour: np.ndarray) -> list[float]:
    """How contrast, light and colour differ between the blocks of the field."""
    count = SIDE // BLOCK
    blocks = colour.reshape(count, BLOCK, count, BLOCK, 3).swapaxes(1, 2)
    grey = blocks.mean(-1).reshape(count * count, -1)
    tint = blocks.mean((2, 3)).reshape(-1, 3)
    red_blue, green_red = tint[:, 0] - tint[:, 2], tint[:, 1] - tint[:, 0]
    return [
        *np.quantile(grey.std(1), [0, 0.1, 0.5, 0.9, 1]),
        *np.quantile(grey.mean(1), [0, 0.1, 0.9, 1]),
        *tint.std(0),
        np.ptp(red_blue),
        np.ptp(green_red),
    ]


def image_statistics(image: Image.Image) -> np.ndarray:
    """All statistics of an RGB image, shape (87,), float32."""
    fitted = image if image.size == (SIDE, SIDE) else image.resize((SIDE, SIDE), Image.BOX)
    colour = np.asarray(fitted, np.float32) / 255
    grey = colour.mean(-1)
    values: list[float] = []
    for channel in np.moveaxis(colour, -1, 0):
        values += [channel.mean(), channel.std()]
        values += list(np.quantile(channel, [0.02, 0.25, 0.5, 0.75, 0.98]))
    values += texture(grey) + texture(ndimage.zoom(grey, 0.5, order=1))
    values += spectrum(grey) + unevenness(colour)
    return np.array(values, np.float32)
