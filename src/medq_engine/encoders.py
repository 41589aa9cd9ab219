"""Frozen image encoders: what two images must share to count as alike.

The loop looks for *quality*, and anatomy is in the way: an encoder's raw features cluster by
modality. A `Space` therefore centres every modality on its own mean in the pool and scales each
feature, so that a cosine compares how images of one modality differ from each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from medq_engine.image_statistics import image_statistics
from medq_engine.models.mllm import Mllm, ModelError, show, stack


@torch.inference_mode()
def vision_tower(mllm: Mllm, images: Sequence[Image.Image], images_per_batch: int) -> np.ndarray:
    """Features of a model's vision tower, shape (images, 4 * hidden), float32.

    Mean and standard deviation over the patches, at the middle and at the last layer: the mean says
    what is there, the spread how unevenly, and texture faults are plainer in the middle than at the
    end.
    """
    rows = []
    for start in range(0, len(images), images_per_batch):
        chunk = images[start : start + images_per_batch]
        inputs = stack([show(mllm.processor, [image]) for image in chunk])
        states = mllm.base.model.get_image_features(
            **{name: tensor.to(mllm.device) for name, tensor in inputs.items()},
            return_dict=True,
            output_hidden_states=True,
        ).hidden_states
        if states is None or states[-1].dim() != 3 or len(states[-1]) != len(chunk):
            raise ModelError(
                f"the vision tower of {mllm.family.name} does not look at an image as one piece; "
                "set embeddings.encoder to image-statistics"
            )
        parts = [f(s) for s in (states[len(states) // 2], states[-1]) for f in (mean, spread)]
        rows.append(torch.cat(parts, -1).float().cpu().numpy())
    return np.concatenate(rows)


def encode(
    encoder: str, images: Sequence[Image.Image], mllm: Mllm | None, images_per_batch: int
) -> np.ndarray:
    """Features of images by a named frozen encoder, shape (images, features), float32.

    `mllm` is used by vision-tower only.
    """
    if encoder == "image-statistics":
        return np.stack([image_statistics(image) for image in images])
    return vision_tower(mllm, images, images_per_batch)


def mean(states: torch.Tensor) -> torch.Tensor:
    """Mean over patches: (images, patches, hidden) -> (images, hidden)."""
    return states.mean(1)


def spread(states: torch.Tensor) -> torch.Tensor:
    """Standard deviation over patches: (images, patches, hidden) -> (images, hidden)."""
    return states.std(1)


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
