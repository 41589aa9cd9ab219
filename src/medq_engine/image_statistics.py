"""Image statistics that follow quality and not anatomy: what no-reference quality measures look at.

Light, spectrum and unevenness of the whole field stand here; texture, blocks and colour in modules
of their own. No weights, so nothing has to be learnt before a fault that nobody taught can be told
from its neighbours. `make encoder-study` says what each group is worth.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from medq_engine.colour_statistics import colour_statistics, opponent_channels
from medq_engine.local_statistics import block_statistics, levels
from medq_engine.texture_statistics import (
    SHIFTS,
    block_cosines,
    halved,
    local_patterns,
    natural_scene,
    normalised,
)

# Statistics of texture depend on the grid, so every image is brought to the same one.
SIDE = 96
BLOCK = 12
ROW, COLUMN = np.mgrid[-SIDE // 2 : SIDE // 2, -SIDE // 2 : SIDE // 2]
RADIUS = np.hypot(ROW, COLUMN).ravel()
ANGLE = (np.arctan2(ROW, COLUMN) % np.pi).ravel()
RING = (RADIUS / 6).astype(int)
MIDDLE = (RADIUS > 4) & (RADIUS < 40)
FAN = np.minimum((ANGLE[MIDDLE] / np.pi * 8).astype(int), 7)


def texture(grey: np.ndarray) -> list[float]:
    """Normalised coefficients, products of neighbours, gradients of one scale; `grey` is (H, W)."""
    mscn, contrast = normalised(grey)
    fourth = np.square(np.square(mscn)).mean()
    values = [mscn.std(), fourth, np.abs(mscn).mean(), contrast.mean(), contrast.std()]
    for shift in SHIFTS[:4]:
        product = mscn * np.roll(mscn, shift, (0, 1))
        values += [product.mean(), product.std()]
    down, across = np.gradient(grey)
    return [*values, np.abs(down).mean(), np.abs(across).mean(), down.std(), across.std()]


def spectrum(grey: np.ndarray) -> list[float]:
    """Log amplitude in eight rings and eight directions, and its peaks (stripes are peaks)."""
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2(grey - grey.mean())))
    log = np.log(amplitude + 1e-3).ravel()
    rings = np.bincount(RING, log)[:8] / np.bincount(RING)[:8]
    fans = np.bincount(FAN, log[MIDDLE]) / np.bincount(FAN)
    peaks = np.sort(log[MIDDLE])[-20:]
    return [*rings, *fans, peaks[-1], peaks.mean()]


def unevenness(colour: np.ndarray) -> list[float]:
    """How contrast, light and colour differ between the blocks of the field."""
    count = SIDE // BLOCK
    blocks = colour.reshape(count, BLOCK, count, BLOCK, 3).swapaxes(1, 2)
    grey = blocks.mean(-1).reshape(count * count, -1)
    tint = blocks.mean((2, 3)).reshape(-1, 3)
    red_blue, green_red = tint[:, 0] - tint[:, 2], tint[:, 1] - tint[:, 0]
    return [
        *levels(grey.std(1), [0, 0.1, 0.5, 0.9, 1]),
        *levels(grey.mean(1), [0, 0.1, 0.9, 1]),
        *tint.std(0),
        np.ptp(red_blue),
        np.ptp(green_red),
    ]


def whole_field(colour: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Light and colour, texture at two scales, spectrum, unevenness: (87,)."""
    channels = colour.reshape(-1, 3).T
    light = [channels.mean(1), channels.std(1), levels(channels, [0.02, 0.25, 0.5, 0.75, 0.98])]
    return np.concatenate(
        [
            *map(np.ravel, light),
            texture(grey),
            texture(halved(grey)),
            spectrum(grey),
            unevenness(colour),
        ]
    )


def by_group(image: Image.Image) -> dict[str, np.ndarray]:
    """Statistics of an RGB image by group: what each looks at, and its values."""
    fitted = image if image.size == (SIDE, SIDE) else image.resize((SIDE, SIDE), Image.BOX)
    colour = np.asarray(fitted, np.float32) / 255
    opponent = opponent_channels(colour)
    grey = opponent[0]
    smooth = ndimage.gaussian_filter(grey, 1, truncate=3)
    return {
        "whole field": whole_field(colour, grey),
        "natural scene": natural_scene(grey),
        "blocks": block_statistics(opponent, smooth),
        "block cosines": block_cosines(grey),
        "local patterns": local_patterns(grey, smooth),
        "colour": colour_statistics(colour, opponent),
    }


def image_statistics(image: Image.Image) -> np.ndarray:
    """All statistics of an RGB image, group after group, shape (765,), float32."""
    return np.concatenate(list(by_group(image).values()), dtype=np.float32)
