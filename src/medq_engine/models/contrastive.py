"""A contrastive head: features in which images of one self-made fault lie together.

Labels cost nothing where the fault is made: a small network on top of an encoder's features learns
by supervised contrast (Khosla et al., NeurIPS 2020) that two images with the same taught fault are
alike, whatever they show. `make encoder-study` compares it; no stage uses it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

HIDDEN, PROJECTED = 256, 128
STEPS, BATCH = 600, 512
TEMPERATURE = 0.1
NOISE = 0.3
"""Standard deviations of noise on every feature while learning: a few thousand images are few."""


def contrastive_loss(projected: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean of -log of the share that images of an image's own label have among all others.

    Args:
        projected: Vectors of length 1, shape (images, features).
        labels: Shape (images,); an image alone with its label counts as 0.
    """
    near = projected @ projected.T / TEMPERATURE
    near = near.masked_fill(torch.eye(len(near), dtype=torch.bool), -torch.inf)
    log_share = near - near.logsumexp(1, keepdim=True)
    same = (labels[:, None] == labels[None]).fill_diagonal_(False)
    kept = log_share.masked_fill(~same, 0).sum(1)
    return -(kept / same.sum(1).clamp(min=1)).mean()


def fit_head(
    vectors: np.ndarray, labels: Sequence[str], seed: int, steps: int = STEPS
) -> nn.Module:
    """Learn a head from images whose fault is known.

    Args:
        vectors: Of length 1, shape (images, features).
        labels: What images must share to count as alike.

    Returns:
        Takes vectors scaled by `scaled`, and gives features of width HIDDEN: those before the
        projection, which carry over better than those behind it (Chen et al., ICML 2020).
    """
    inputs = scaled(vectors)
    classes = torch.from_numpy(np.unique(np.asarray(labels), return_inverse=True)[1])
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Sequential(nn.Linear(inputs.shape[1], HIDDEN), nn.GELU())
        projection = nn.Linear(HIDDEN, PROJECTED)
    parameters = [*head.parameters(), *projection.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05)
    for _ in range(steps):
        rows = torch.randint(len(inputs), (BATCH,), generator=generator)
        noisy = inputs[rows] + NOISE * torch.randn(BATCH, inputs.shape[1], generator=generator)
        projected = nn.functional.normalize(projection(head(noisy)), dim=1)
        optimizer.zero_grad()
        contrastive_loss(projected, classes[rows]).backward()
        optimizer.step()
    return head


def scaled(vectors: np.ndarray) -> torch.Tensor:
    """Vectors of length 1 as a network likes them, with values of about 1."""
    return torch.from_numpy(np.float32(np.sqrt(vectors.shape[1])) * vectors.astype(np.float32))


@torch.inference_mode()
def contrastive_features(head: nn.Module, vectors: np.ndarray) -> np.ndarray:
    """Features by a head: vectors of length 1 as (images, features) to (images, HIDDEN)."""
    return head(scaled(vectors)).numpy()
