"""Small pictures with the structure that each modality has: air, a body, fine detail."""

from collections.abc import Callable

import numpy as np
import pytest

Picture = Callable[..., np.ndarray]


def make_picture(size: int, colour: bool, *, width: int | None = None) -> np.ndarray:
    """A textured ellipse with a bright rim on a dark ground, float32 in [0, 1]."""
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : (width or size) * 1j]
    radius = np.hypot(rows / 0.8, columns / 0.7)
    texture = 0.5 + 0.12 * np.sin(14 * rows) * np.sin(11 * columns) + 0.15 * (radius < 0.4)
    grey = np.where(radius < 0.9, texture, np.where(radius < 1, 0.85, 0.03)).astype(np.float32)
    if not colour:
        return grey
    return grey[..., None] * np.array([0.95, 0.6, 0.5], dtype=np.float32)


@pytest.fixture
def picture() -> Picture:
    return make_picture
