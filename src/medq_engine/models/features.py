"""Features of a model's own vision tower, to search for images that look alike to the model."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

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


def mean(states: torch.Tensor) -> torch.Tensor:
    """Mean over patches: (images, patches, hidden) -> (images, hidden)."""
    return states.mean(1)


def spread(states: torch.Tensor) -> torch.Tensor:
    """Standard deviation over patches: (images, patches, hidden) -> (images, hidden)."""
    return states.std(1)
