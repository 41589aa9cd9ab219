"""Patient motion.

Cause: the body shifts and turns while the gantry goes round, so that the first views belong to one
position and the last to another; edges are doubled, and where the last view meets the first, half a
turn later, the contradiction leaves streaks.

Simulation: each view is that of the body where it is at that moment. A shift of the body shifts the
view on the detector, a rotation is that of another angle. The body rests, moves evenly for a part
of the scan and stays where it is. The reconstruction of the difference is added.

Source: Yu and Wang, Data consistency based rigid motion artifact reduction in fan-beam CT, IEEE
Transactions on Medical Imaging 26, 2007.
"""

import numpy as np
from scipy import ndimage

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._sinogram import ANGLES, VIEWS, add_error, project, to_grid
from medq_engine.degradations.base import Degradation

SHIFT = 0.08  # of the side of the slice, at strength 1
ROTATION = 8.0  # degrees, largest at strength 1


def _moved(
    sinogram: np.ndarray, shift_rows: np.ndarray, shift_columns: np.ndarray, turn: np.ndarray
) -> np.ndarray:
    """Sinogram of a body that is, at each view, turned about the axis and then shifted.

    Args:
        sinogram: (VIEWS, detectors) of the body at rest.
        shift_rows, shift_columns: (VIEWS,) in pixels of the slice.
        turn: (VIEWS,) in views, positive from the columns to the rows.
    """
    # Half a turn on, a view is itself mirrored.
    margin = int(np.ceil(np.abs(turn).max())) + 1
    mirrored = sinogram[:, ::-1]
    turns = np.concatenate([mirrored[-margin:], sinogram, mirrored[:margin]])
    views = np.arange(VIEWS) - turn + margin
    rays = np.arange(sinogram.shape[1])[None, :]
    shift = shift_rows * np.sin(ANGLES) + shift_columns * np.cos(ANGLES)
    place = np.broadcast_arrays(views[:, None], rays - shift[:, None])
    return ndimage.map_coordinates(turns, place, order=1)


@simulator
def patient_motion(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Doubled contours and streaks; strength 1 is a shift by 8 % of the field of view."""
    first = int(rng.integers(VIEWS))  # view at which the scan begins
    begin, lasts = rng.uniform(0.25, 0.6), rng.uniform(0.05, 0.25)  # of the scan
    direction = rng.uniform(0, 2 * np.pi)
    turn = rng.uniform(0.4, 1.0) * rng.choice((-1, 1)) * ROTATION * VIEWS / 180
    time = (np.arange(VIEWS) - first) % VIEWS / VIEWS
    moved = strength * np.clip((time - begin) / lasts, 0, 1)
    plane = to_grid(image)
    rays = project(plane)
    shift = moved * SHIFT * plane.shape[0]
    displaced = _moved(rays, shift * np.sin(direction), shift * np.cos(direction), moved * turn)
    return add_error(image, displaced - rays)


DEGRADATION = Degradation(
    name="patient-motion",
    label="patient motion",
    modalities=("ct",),
    scope="modality-specific",
    family="patient-motion",
    aspect="clarity",
    cause="The body moves while the gantry goes round, so the views contradict each other.",
    parameters=(
        "strength: shift of the body, to 0.08 of the side at strength 1",
        "strength: rotation of the body, to 3.2-8 degrees at strength 1, drawn",
        "seed: direction of the shift, sense of the rotation, angle at which the scan begins",
        "seed: beginning (0.25-0.6) and length (0.05-0.25) of the movement, as shares of the scan",
    ),
    source="Yu and Wang, IEEE Transactions on Medical Imaging 26, 2007",
    simulate=patient_motion,
    measure="ms-ssim",
    mild=(0.05, 0.09),
    severe=(0.17, 0.30),
)
