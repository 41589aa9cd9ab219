"""Motion blur.

Cause: the endoscope or the organ moves while the shutter is open, so a point becomes a line.

Simulation: convolution with an anti-aliased line of random direction. The field stop moves with the
camera and stays sharp.

Source: Ali et al., An objective comparison of detection and segmentation algorithms for artefacts
in clinical endoscopy, Scientific Reports 10, 2020.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_stop import behind, field_of_view
from medq_engine.degradations._fields import short_side
from medq_engine.degradations._optics import convolve
from medq_engine.degradations.base import Degradation

LENGTH = 0.18  # of the short side, at strength 1


@simulator
def motion_blur(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Streaked in one direction; strength 1 is a path of 0.18 of the short side."""
    half = 0.5 * LENGTH * strength * short_side(image)
    angle = rng.uniform(0, np.pi)
    axis = np.arange(-np.ceil(half), np.ceil(half) + 1)
    along = axis[:, None] * np.sin(angle) + axis[None, :] * np.cos(angle)
    across = axis[:, None] * np.cos(angle) - axis[None, :] * np.sin(angle)
    path = np.clip(half + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    field = field_of_view(image)
    seen = np.concatenate([image, np.ones_like(image[..., :1])], axis=2) * field[..., None]
    moved = convolve(seen, path)
    return behind(image, field, moved[..., :-1], moved[..., -1])


DEGRADATION = Degradation(
    name="motion-blur",
    label="motion blur",
    modalities=("endoscopy",),
    scope="general",
    family="blur",
    aspect="clarity",
    cause="Camera or organ moves while the shutter is open.",
    parameters=(
        "strength: length of the path, up to 0.18 of the short side",
        "seed: direction of the path, any",
    ),
    source="Ali et al., Scientific Reports 10, 2020",
    simulate=motion_blur,
    measure="ms-ssim",
    mild=(0.04, 0.07),
    severe=(0.14, 0.24),
)
