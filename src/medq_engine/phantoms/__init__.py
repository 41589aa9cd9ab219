"""Procedural phantoms: synthetic pristine images of the five modalities.

A phantom has the field of view, the intensities, the edges and the fine texture of a real image of
its modality, and no degradation: it is sharp, evenly exposed and carries only a trace of sensor
grain. It stands in where real subjects are too few; in a record its `origin` is `phantom`.
"""

import numpy as np

from medq_engine.phantoms import ct, endoscopy, fundus, histopathology, mri
from medq_engine.vocabulary import Modality

_DRAW = {
    "mri": mri.draw,
    "ct": ct.draw,
    "histopathology": histopathology.draw,
    "endoscopy": endoscopy.draw,
    "fundus": fundus.draw,
}

# What descriptions call it; empty where phantoms of a modality show several things.
ANATOMY: dict[Modality, str] = {
    "mri": "head",
    "ct": "",
    "histopathology": "",
    "endoscopy": "",
    "fundus": "retina",
}


def draw(modality: Modality, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one phantom; every call draws another subject, and the same `rng` state the same one.

    Args:
        modality: One of `medq_engine.vocabulary.MODALITIES`.
        size: Side of the square image in pixels, 64 to 512.
        rng: Source of all variety.

    Returns:
        float32 in [0, 1]: (size, size) for `mri` and `ct`, (size, size, 3) RGB for the others.

    Raises:
        ValueError: If `modality` is unknown.
    """
    if modality not in _DRAW:
        raise ValueError(f"unknown modality {modality!r}: choose one of {', '.join(_DRAW)}")
    return _DRAW[modality](size, rng)
