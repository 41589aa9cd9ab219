"""Rigid motion.

Cause: the patient moves the head once or a few times during the scan and lies still in between, so
each group of phase-encode lines belongs to the head in another pose. The groups contradict each
other: edges double and blur, and stripes run beside them along the phase-encode axis.

Simulation: lines are acquired in sequence. At a few random times, one of them near the centre of
k-space where the signal is, the head takes another pose; each group is filled from the image
translated (Fourier shift theorem) and rotated accordingly. The group that holds the centre of
k-space sets the position of the picture and is not moved.

Source: Shaw et al., MRI k-space motion artefact augmentation, Proceedings of Machine Learning
Research 102 (MIDL), 2019; Godenschweger et al., Physics in Medicine and Biology 61, 2016.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._kspace import displacement, frequencies, kspace, magnitude, nyquist
from medq_engine.degradations.base import Degradation

TRANSLATION = 0.08  # of the field of view, at strength 1
ROTATION = np.deg2rad(8.0)  # at strength 1

Pose = tuple[float, float, float]


def rotate(image: np.ndarray, angle: float) -> np.ndarray:
    """Image (H, W, C) turned about its centre by `angle` in radians, from rows to columns."""
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    centre = (np.array(image.shape[:2]) - 1) / 2
    offset = centre - matrix @ centre
    planes = [
        ndimage.affine_transform(plane, matrix, offset, order=3, mode="nearest")
        for plane in np.moveaxis(image, 2, 0)
    ]
    return np.stack(planes, axis=2)


def acquire(image: np.ndarray, group: np.ndarray, poses: Sequence[Pose]) -> np.ndarray:
    """k-space (H, W, C) of an object that changes its pose from one group of lines to the next.

    Args:
        image: Image (H, W, C) of the object in the pose (0, 0, 0).
        group: Index into `poses` of each line, shaped as `frequencies` gives them.
        poses: Displacement downwards and to the right in fields of view, and rotation in radians.
    """
    still = kspace(image)
    data = still
    for index, (row, column, angle) in enumerate(poses):
        moved = still if angle == 0 else kspace(rotate(image, angle))
        move = displacement(image, np.asarray(row), np.asarray(column))
        data = np.where(group == index, moved * move, data)
    return data


@simulator
def rigid_motion(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Two to four sudden movements; strength 1 is up to 8 degrees and 8 % of the field."""
    phase_axis = int(rng.integers(2))
    side = int(rng.choice((-1, 1)))
    central = (side * rng.uniform(0.03, 0.09), -side * rng.uniform(0.08, 0.4))
    others = rng.uniform(-1, 1, int(rng.integers(3)))
    times = np.sort([*central, *others])  # 0 at the centre of k-space, 1 at its edge
    group = np.searchsorted(times, frequencies(image, phase_axis) / nyquist(image, phase_axis))
    angles = rng.uniform(0, 2 * np.pi, len(times) + 1)
    lengths = strength * TRANSLATION * rng.uniform(0.4, 1, len(times) + 1)
    turns = strength * ROTATION * rng.uniform(-1, 1, len(times) + 1)
    poses = list(zip(lengths * np.sin(angles), lengths * np.cos(angles), turns, strict=True))
    poses[np.searchsorted(times, 0.0)] = (0.0, 0.0, 0.0)
    return magnitude(acquire(image, group, poses))


DEGRADATION = Degradation(
    name="rigid-motion",
    label="rigid motion",
    modalities=("mri",),
    scope="modality-specific",
    family="ghosting",
    aspect="clarity",
    cause="The head moves suddenly between one group of phase-encoding lines and the next.",
    parameters=(
        "strength: translation, to 8 % of the field of view, and rotation, to 8 degrees",
        "seed: phase-encode axis, of two",
        "seed: 2 to 4 movements: one at 3 to 9 % of the way from the centre of k-space to its "
        "edge, one at 8 to 40 % on the other side, the others anywhere",
        "seed: each pose, 40 to 100 % of that translation in any direction, any share of the "
        "rotation, either way",
    ),
    source="Shaw et al., Proceedings of Machine Learning Research 102, 2019",
    simulate=rigid_motion,
    measure="ms-ssim",
    mild=(0.07, 0.12),
    severe=(0.22, 0.36),
)
