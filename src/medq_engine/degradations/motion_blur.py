"""Motion blur.

Cause: the endoscope or the organ moves while the shutter is open, so a point becomes a line.

Simulation: convolution with an anti-aliased line of random direction.

Source: Ali et al., An objective comparison of detection and segmentation algorithms for artefacts
in clinical endoscopy, Scientific Reports 10, 2020.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import short_side
from medq_engine.degradations._optics import convolve
from medq_engine.degradations.base import Degradation

LENGTH = 0.15  # of the short side, at strength 1


@simulator
def motion_blur(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Streaked in one direction; strength 1 is a path of 0.15 of the short side."""
    half = 0.5 * LENGTH * strength * short_side(image)
    angle = rng.uniform(0, np.pi)
    axis = np.arange(-np.ceil(half), np.ceil(half) + 1)
    along = axis[:, None] * np.sin(angle) + axis[None, :] * np.cos(angle)
    across = axis[:, None] * np.cos(angle) - axis[None, :] * np.sin(angle)
    path = np.clip(half + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return convolve(image, path)


DEGRADATION = Degradation(
    name="motion-blur",
    label="motion blur",
    modalities=("endoscopy",),
    scope="general",
    cause="Camera or organ moves while the shutter is open.",
    source="Ali et al., Scientific Reports 10, 2020",
    simulate=motion_blur,
    mild=0.35,
    severe=0.9,
)
