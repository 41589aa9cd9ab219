"""Chemical shift.

Cause: the protons of fat resonate 3.5 ppm lower than those of water. Place along the readout is
frequency, so fat is shown displaced by the ratio of that offset to the bandwidth of a pixel: where
it leaves water it opens a dark void, where it lies over water a bright rim.

Simulation: the bright part of the rim of the body (skin fat, marrow) is taken as fat, the rest as
water; fat is displaced along a random one of the two axes, either way, and the two are added.

Source: Soila, Viamonte and Starewicz, Chemical shift misregistration effect in magnetic resonance
imaging, Radiology 153, 1984.
"""

import numpy as np
from scipy import ndimage

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import short_side, soften
from medq_engine.degradations._optics import luminance
from medq_engine.degradations.base import Degradation

SHIFT = 0.075  # of the field of view, at strength 1
RIM = 0.06  # depth of the fat under the surface, in short sides
EDGE = 0.01  # width of the border of fat, in short sides


def fat_share(image: np.ndarray) -> np.ndarray:
    """Share of fat (H, W, 1) in the signal of each pixel of `image` (H, W, C)."""
    light = luminance(image)
    body = light >= 0.1 * light.max()
    rim = np.clip(3 * (1 - soften(body.astype(np.float32), RIM)), 0, 1)
    # A pixel at the border of fat, partly filled, belongs to it too.
    reach = 2 * round(EDGE * short_side(image)) + 1
    bright = ndimage.maximum_filter(light, reach, mode="nearest")
    white = np.sum(rim * light**2) / max(float(np.sum(rim * light)), 1e-6) + 1e-6
    return (rim * np.clip(2 * bright / white - 0.5, 0, 1))[..., None]


@simulator
def chemical_shift(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Fat beside its place; strength 1 displaces it by 7.5 % of the field of view."""
    readout, sign = int(rng.integers(2)), int(rng.choice((-1, 1)))
    fat = image * fat_share(image)
    offset = np.zeros(3)
    offset[readout] = sign * strength * SHIFT * image.shape[readout]
    return image - fat + ndimage.shift(fat, offset, order=1)


DEGRADATION = Degradation(
    name="chemical-shift",
    label="chemical shift",
    modalities=("mri",),
    scope="modality-specific",
    family="chemical-shift",
    aspect="none",
    cause="Fat resonates at another frequency than water and is displaced along the readout.",
    parameters=(
        "strength: displacement of fat, to 7.5 % of the field of view",
        "seed: readout axis, of two, and direction along it",
    ),
    source="Soila, Viamonte and Starewicz, Radiology 153, 1984",
    simulate=chemical_shift,
    measure="ms-ssim",
    mild=(0.11, 0.19),
    severe=(0.36, 0.56),
)
