"""Frozen image encoders: what two images must share to count as alike.

The loop looks for *quality*, and anatomy is in the way: an encoder's raw features cluster by
modality, and within a modality most of what varies is who was imaged. A `Space` therefore takes
every modality's usual images in the pool as the background, and compares images by how they stand
out from it: a cosine of whitened vectors. With the mean of a few examples as the query this is
linear discriminant analysis against the background (Hariharan, Malik and Ramanan, ECCV 2012).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.linalg import cholesky, solve_triangular

from medq_engine.errors import MedqError
from medq_engine.image_statistics import image_statistics

if TYPE_CHECKING:
    from medq_engine.models.mllm import Mllm

SHRINKAGE = 0.3
"""Share of the identity in the background's correlation; 0.15 to 0.5 find as much."""
USUAL = 0.7
"""Share of a modality's pool images that makes the background; 0.6 to 0.8 find as much."""
FARTHEST = 8.0
"""Standard deviations at which a feature is cut off: some statistics have very long tails."""


class EncoderError(MedqError):
    """An image has no frame of reference; the message names its modality."""


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
class Frame:
    """How the pool's images of one modality vary.

    Attributes:
        mean, scale: Of each feature, shape (features,); a feature that never changes has the scale
            infinity, and so no say.
        factor: Lower Cholesky factor of the shrunk correlation, shape (features, features).
    """

    mean: np.ndarray
    scale: np.ndarray
    factor: np.ndarray

    def standard(self, vectors: np.ndarray) -> np.ndarray:
        """Every feature in standard deviations from its mean, shape as given."""
        return np.clip((vectors - self.mean) / self.scale, -FARTHEST, FARTHEST)

    def whitened(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors whose dot is the inverse correlation's, shape as given."""
        return solve_triangular(self.factor, self.standard(vectors).T, lower=True).T


@dataclass(frozen=True)
class Space:
    """The pool's frame of reference, by modality."""

    frames: Mapping[str, Frame]

    def whitened(self, vectors: np.ndarray, modalities: Sequence[str]) -> np.ndarray:
        """Vectors in the frame of their modality, shape as given.

        Their length tells how far an image is from what is usual (Mahalanobis distance).

        Raises:
            EncoderError: The pool has no image of a modality.
        """
        names = np.asarray(modalities)
        found = np.zeros(vectors.shape)
        for name in np.unique(names):
            if name not in self.frames:
                raise EncoderError(
                    f"the pool has no image of modality {str(name)!r} to compare with: add some to "
                    "data/pool, or take the modality out of the benchmark"
                )
            here = names == name
            found[here] = self.frames[name].whitened(vectors[here])
        return found

    def unit(self, vectors: np.ndarray, modalities: Sequence[str]) -> np.ndarray:
        """Whitened vectors of length 1, float32, shape as given; a dot is a cosine.

        Raises:
            EncoderError: As `whitened`.
        """
        return of_length_one(self.whitened(vectors, modalities))


def of_length_one(whitened: np.ndarray) -> np.ndarray:
    """Each row divided by its length, float32; a row of zeros stays one."""
    length = np.linalg.norm(whitened, axis=1, keepdims=True)
    return (whitened / np.maximum(length, 1e-12)).astype(np.float32)


def correlation(standard: np.ndarray, shrinkage: float) -> np.ndarray:
    """Shrunk correlation of features, (features, features); `standard` is (images, features)."""
    found = np.atleast_2d(np.cov(standard.T, bias=True))
    found *= (1 - shrinkage) / max(np.trace(found) / len(found), 1e-12)
    found[np.diag_indices_from(found)] += shrinkage
    return found


def fit_frame(vectors: np.ndarray, shrinkage: float, usual: float) -> Frame:
    """The frame of reference of one modality: `vectors` of shape (images, features)."""
    # In single precision the deviation of a constant is not nothing.
    mean, deviation = vectors.mean(0, dtype=np.float64), vectors.std(0, dtype=np.float64)
    scale = np.where(deviation > 1e-6, deviation, np.inf)
    standard = Frame(mean, scale, np.empty(0)).standard(vectors)
    factor = cholesky(correlation(standard, shrinkage), lower=True)
    # What stands out is what is searched for: it must not count as background. One step of the
    # minimum covariance determinant (Rousseeuw and Van Driessen 1999).
    distances = np.square(Frame(mean, scale, factor).whitened(vectors)).sum(1)
    kept = standard[distances <= np.quantile(distances, usual)]
    return Frame(mean, scale, cholesky(correlation(kept, shrinkage), lower=True))


def fit_space(
    vectors: np.ndarray,
    modalities: Sequence[str],
    shrinkage: float = SHRINKAGE,
    usual: float = USUAL,
) -> Space:
    """The frame of reference of a pool.

    Args:
        vectors: Features of the pool, shape (images, features).
        modalities: Of each image.
        shrinkage: In (0, 1]; at 1 features are only centred and scaled, none is weighed against
            another.
        usual: Share of a modality's images, the least unusual, that the correlation is taken from.
    """
    names = np.asarray(modalities)
    frames = {str(n): fit_frame(vectors[names == n], shrinkage, usual) for n in np.unique(names)}
    return Space(frames)
