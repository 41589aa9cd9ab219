"""Instrument occlusion.

Cause: the shaft of a grasper, snare or suction tube stands between the lens and the tissue.

Simulation: a metal cylinder enters from the rim of the field. It is shaded as a cylinder lit from
the lens: Lambert across its width, plus a bright line where its surface mirrors the lamp; near its
end a joint and the slot between two jaws show, and it shades the tissue beside it. Strength pushes
it in and brings it nearer to the lens.

Source: Ali et al., An objective comparison of detection and segmentation algorithms for artefacts
in clinical endoscopy, Scientific Reports 10, 2020 (instrument); Phong, Illumination for computer
generated pictures, Communications of the ACM 18, 1975 (shading).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_stop import circle, field_of_view
from medq_engine.degradations._fields import coordinates, short_side, soften
from medq_engine.degradations._optics import channels, lay_over
from medq_engine.degradations.base import Degradation

STEEL = (0.60, 0.63, 0.66)
LENGTH = 1.7  # in radii of the field, at strength 1
WIDTH = 0.10, 0.28  # of the short side, at strength 0 and 1
SHINE = 24  # Phong's exponent across the shaft


@simulator
def instrument_occlusion(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """A shaft across the field; strength 1 reaches 0.85 of the way across it."""
    entry, aside, lamp = rng.uniform(0, 2 * np.pi), rng.uniform(-0.35, 0.35), rng.uniform(0.2, 0.5)
    shade, jitter = rng.uniform(0.8, 1.1), rng.uniform(0.9, 1.1)
    field = field_of_view(image)
    row, column, radius = circle(field)
    rows, columns = coordinates(image.shape)
    y, x = rows - row, columns - column
    # u runs along the shaft from the rim inwards, v across it; both in short sides.
    along = (-np.sin(entry + aside), -np.cos(entry + aside))
    u = along[0] * (y - radius * np.sin(entry)) + along[1] * (x - radius * np.cos(entry))
    v = along[1] * (y - radius * np.sin(entry)) - along[0] * (x - radius * np.cos(entry))

    half = 0.5 * jitter * (WIDTH[0] + (WIDTH[1] - WIDTH[0]) * strength)
    tip = LENGTH * radius * strength - u  # depth of a pixel behind the end
    # The last stretch narrows to a blunt nose.
    waist = half * np.sqrt(np.clip(0.45 + 0.55 * tip / (1.4 * half), 0, 1))
    soft = 0.008 + 0.5 / short_side(image)
    shaft = np.clip((waist - np.abs(v)) / soft, 0, 1) * np.clip(tip / soft, 0, 1)

    across = np.clip(v / np.maximum(waist, 1e-3), -1, 1)
    facing = np.sqrt(1 - across**2)
    mirror = np.clip(facing * np.sqrt(1 - lamp**2) + across * lamp, 0, 1) ** SHINE
    joint = 1 - 0.6 * np.exp(-(((tip - 1.8 * half) / (0.16 * half)) ** 2))
    slot = 1 - 0.75 * np.exp(-((v / (0.13 * half)) ** 2)) * np.clip(1.5 - tip / half, 0, 1)
    grey = shade * joint * slot * (0.15 + 0.85 * facing)
    steel = channels(STEEL, image) * grey[..., None] + 0.6 * (joint * slot * mirror)[..., None]
    shadow = soften(shaft, 0.03)
    shaded = image * (1 - 0.45 * shadow * field)[..., None]
    return lay_over(shaded, np.clip(steel, 0, 1), shaft * field)


DEGRADATION = Degradation(
    name="instrument-occlusion",
    label="instrument occlusion",
    modalities=("endoscopy",),
    scope="modality-specific",
    family="instrument-occlusion",
    aspect="none",
    cause="An instrument stands between the lens and the tissue.",
    parameters=(
        "strength: length, up to 1.7 radii of the field; width, from 0.10 to 0.28 short sides",
        "seed: where it enters, any; by how much it misses the middle (up to 20 degrees)",
        "seed: grey (+-15 %), width (+-10 %) and where it mirrors the lamp",
    ),
    source="Ali et al., Scientific Reports 10, 2020",
    simulate=instrument_occlusion,
    measure="ms-ssim",
    mild=(0.04, 0.08),
    severe=(0.20, 0.30),
)
