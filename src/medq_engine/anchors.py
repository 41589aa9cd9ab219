"""Anchors: the direction in which a prototype searches the pool.

One failure shows its fault together with everything else that is special about that one image. What
the images of one fault share, less what the other labelled images of the modality share, is much
nearer to the fault itself: relevance feedback (Rocchio 1971), with dev as what is relevant and what
is not. In the whitened space of `encoders` it is a linear discriminant, and one vector, so the
search stays what it was. `make encoder-study` measures it.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from medq_engine.language import NO_DEGRADATION

CONTRAST = 1.0
"""Weight of the other images; measured best between 0.5 and 1 (docs/results/retrieval.md)."""


def showing(
    findings: Sequence[Iterable[Mapping[str, str]]],
    modalities: Sequence[str],
    modality: str,
    fault: str,
) -> np.ndarray:
    """Which images of a modality show a fault, as their first finding or a further one.

    Args:
        findings: Of each image (struct FINDING), as dev knows them.
        modalities: Of each image.
        fault: Label of a fault, or "no degradation" for the images without any.

    Returns:
        True where the image shows it, shape (images,).
    """
    labels = [{finding["label"] for finding in here} for here in findings]
    shown = [fault in here or (not here and fault == NO_DEGRADATION) for here in labels]
    return np.array(shown, bool) & (np.asarray(modalities) == modality)


def contrast_anchor(
    vectors: np.ndarray, shown: np.ndarray, others: np.ndarray, contrast: float = CONTRAST
) -> np.ndarray:
    """The mean of the images that show a fault, less that of the others, of length 1.

    Args:
        vectors: Whitened vectors of length 1 of labelled images, shape (images, features).
        shown: True where the image shows the fault, shape (images,); at least one does.
        others: True where an image of the same modality does not; none may be.
        contrast: Weight of the others; at 0 the anchor is the mean of what shows the fault.

    Returns:
        Shape (features,), float32; a dot with a pool vector ranks the pool.
    """
    anchor = vectors[shown].mean(0)
    if others.any():
        anchor = anchor - contrast * vectors[others].mean(0)
    return (anchor / max(float(np.linalg.norm(anchor)), 1e-12)).astype(np.float32)
