"""Features of a model's own vision tower, to search for images that look alike to the model."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image

from medq_engine.models.mllm import Mllm, ModelError, show, stack


@torch.inference_mode()
def hidden_states(
    mllm: Mllm, images: Sequence[Image.Image], images_per_batch: int
) -> Iterator[tuple[torch.Tensor, ...]]:
    """States of a vision tower, batch by batch: one tensor (images, patches, hidden) a depth.

    Depth 0 is what the patches look like before the first layer.

    Raises:
        ModelError: The tower cuts an image into pieces.
    """
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
        yield states


def vision_tower(mllm: Mllm, images: Sequence[Image.Image], images_per_batch: int) -> np.ndarray:
    """Features of a model's vision tower, shape (images, 4 * hidden), float32.

    Mean and standard deviation over the patches, at the middle and at the last layer: the mean says
    what is there, the spread how unevenly, and texture faults are plainer in the middle than at the
    end.
    """
    batches = hidden_states(mllm, images, images_per_batch)
    return np.concatenate([pooled((s[len(s) // 2], s[-1])) for s in batches])


def by_depth(mllm: Mllm, images: Sequence[Image.Image], images_per_batch: int) -> list[np.ndarray]:
    """Features of a vision tower at every depth, each of shape (images, 2 * hidden), float32."""
    batches = hidden_states(mllm, images, images_per_batch)
    found = [[pooled((state,)) for state in states] for states in batches]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def pooled(states: Sequence[torch.Tensor]) -> np.ndarray:
    """Mean and standard deviation over the patches, depth after depth."""
    parts = [part for state in states for part in (state.mean(1), state.std(1))]
    return torch.cat(parts, -1).float().cpu().numpy()
