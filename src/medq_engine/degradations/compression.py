"""Compression artifact.

Cause: whole slides and endoscopic videos are stored as JPEG or MPEG; too low a quality quantises
the cosine transform of each block, so that blocks, ringing and patches of wrong colour appear.

Simulation: a real JPEG round trip of the picture at the resolution of the detector, of which the
error is added, so that blocks are as large, relative to the picture, at every size.

Source: Wallace, The JPEG still picture compression standard, Communications of the ACM 34, 1991.
"""

from io import BytesIO

import numpy as np
from PIL import Image

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import DETECTOR, resize, short_side
from medq_engine.degradations.base import Degradation

BEST, WORST = 98, 4  # JPEG quality near strength 0 and at strength 1


@simulator
def compression(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """JPEG errors; strength 1 is quality 4, falling geometrically from 98. `rng` is not used."""
    factor = max(1.0, short_side(image) / DETECTOR)
    shape = tuple(round(n / factor) for n in image.shape[:2])
    planes = [resize(plane, shape) for plane in np.moveaxis(image, 2, 0)]
    pixels = np.uint8(np.clip(np.stack(planes, axis=2), 0, 1) * 255 + 0.5)
    quality = round(BEST * (WORST / BEST) ** strength)
    with BytesIO() as file:
        Image.fromarray(pixels.squeeze()).save(file, "JPEG", quality=quality, subsampling=0)
        decoded = np.asarray(Image.open(file)).reshape(pixels.shape)
    error = (decoded.astype(np.float32) - pixels) / 255
    return image + np.stack([resize(p, image.shape) for p in np.moveaxis(error, 2, 0)], axis=2)


DEGRADATION = Degradation(
    name="compression",
    label="compression artifact",
    modalities=("histopathology", "endoscopy"),
    scope="general",
    family="compression",
    aspect="clarity",
    cause="Lossy JPEG compression at too low a quality.",
    parameters=(
        "Strength drives the JPEG quality, geometrically from 98 to 4 at 1, without subsampling of "
        "colour.",
        "Nothing is drawn.",
    ),
    source="Wallace, Communications of the ACM 34, 1991",
    simulate=compression,
    measure="ms-ssim",
    mild=(0.06, 0.1),
    severe=(0.18, 0.3),
)
