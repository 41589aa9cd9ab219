"""What every simulation promises, enforced once, so that a module holds only its physics."""

from collections.abc import Callable
from functools import wraps

import numpy as np

Simulation = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def simulator(physics: Simulation) -> Simulation:
    """Turn physics on (H, W, C) arrays, C = 1 or 3, into the function that `Degradation` wants.

    The result takes and returns float32 in [0, 1] of shape (H, W) or (H, W, 3), never changes its
    input, gives an exact copy at strength 0 and clips what leaves the range, as a display does.

    Raises:
        ValueError: The image is not float32 or has another shape, or strength is not in [0, 1].
    """

    @wraps(physics)
    def simulate(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
        if (
            image.dtype != np.float32
            or image.ndim not in (2, 3)
            or image.shape[2:] not in ((), (3,))
        ):
            raise ValueError(
                f"image: expected float32 of shape (H, W) or (H, W, 3), "
                f"got {image.dtype} of shape {image.shape}"
            )
        if not 0.0 <= strength <= 1.0:
            raise ValueError(f"strength: expected a number in [0, 1], got {strength}")
        if strength == 0.0:
            return image.copy()
        degraded = physics(image.reshape(*image.shape[:2], -1), strength, rng)
        return np.clip(degraded, 0.0, 1.0).astype(np.float32).reshape(image.shape)

    return simulate
