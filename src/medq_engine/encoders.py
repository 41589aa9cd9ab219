"""Frozen image encoders: what two images must share to count as alike.

The loop looks for *quality*, and anatomy is in the way: an encoder's raw features cluster by
modality. A `Space` therefore centres every modality on its own mean in the pool and scales each
feature, so that a cosine compares how images of one modality differ from each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from medq_engine.image_statistics import image_statistics

if TYPE_CHECKING:
    from medq_engine.models.mllm import Mllm


def encode(
    encoder: str, images: Sequence[Image.Image], mllm: "Mllm | None", images_per_batch: int
) -> np.ndarray:
    """Features of images by a named frozen encoder, shape (images, features), float32.

    `mllm` is used by vision-tower only.
    """
    if encoder == "image-statistics":
        return np.stack([image_statistics(image) for image in images])
    # torch takes seconds to import, and image statistics do without.
    from medq_engine.models.features import vision_tower

    return vision_tower(mllm, images, images_per_batch)


@dataclass(frozen=True)
class Space:
    """The pool's frame of reference: a mean per modality, one scale per feature."""

    means: Mapping[str, np.ndarray]
    scale: np.ndarray

    def unit(self, vectors: np.ndarray, modalities: Sequence[str]) -> np.ndarray:
        """Centred, scaled vectors of length 1, float32, shape as given; a dot is a cosine."""
        centred = (vectors - np.stack([self.means[m] for m in modalities])) / self.scale
        norm = np.linalg.norm(centred, axis=1, keepdims=True)
        return (centred / np.maximum(norm, 1e-12)).astype(np.float32)


def fit_space(vectors: np.ndarray, modalities: Sequence[str]) -> Space:
    """The frame of reference of a pool: `vectors` of shape (images, features)."""
    names = np.asarray(modalities)
    means = {str(name): vectors[names == name].mean(0) for name in np.unique(names)}
    residual = vectors - np.stack([means[name] for name in names])
    return Space(means, np.maximum(residual.std(0), 1e-6))
