"""Haze.

Cause: a clouded lens (cataract) or vitreous lies in front of the retina. It absorbs blue and green
light, as an ageing lens turns yellow-brown; it scatters the light of the retina forwards, which
blurs it; and it scatters the flash back into the camera as a veil, thickest where the lens is, in
the middle of the picture.

Simulation: retina and veil are mixed as in Peli and Peli, I = t J + (1 - t) L, with a transmission
t that falls towards the centre; J is the retina low-passed by forward scatter and seen through the
yellow lens, L the flash that comes back through that lens.

Source: Peli and Peli, Restoration of retinal images obtained through cataracts, IEEE Transactions
on Medical Imaging 8, 1989; centre-weighted veil after Li et al., An annotation-free restoration
network for cataractous fundus images, IEEE Transactions on Medical Imaging 41, 2022.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_geometry import centred
from medq_engine.degradations._field_stop import field_of_view
from medq_engine.degradations._fields import smooth_field, soften
from medq_engine.degradations._optics import absorb, channels, lay_over
from medq_engine.degradations.base import Degradation

VEIL = 0.85  # share of the light in the middle that is veil, at strength 1
BROWN = (0.05, 0.15, 0.45)  # optical density of the lens in red, green and blue, at strength 1
FLASH = (0.93, 0.86, 0.72)  # the veil of a clear lens
FORWARD = 0.025  # sigma of forward scatter in short sides
FORWARD_SHARE = 0.8  # share of the light of the retina that is scattered forwards, at strength 1


@simulator
def haze(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A yellowish mist, densest in the middle; strength 1 leaves 0.15 of the light there."""
    off = rng.uniform(-0.25, 0.25, 2)  # centre of the cloud, in radii of the field
    reach = rng.uniform(0.7, 1.0)
    clouds = 1 + 0.15 * smooth_field(image.shape, 3, rng)
    field = field_of_view(image)
    rows, columns, radius = centred(field)
    distance = np.hypot(rows / radius - off[0], columns / radius - off[1])
    thickness = clouds * (0.35 + 0.65 * np.exp(-((distance / reach) ** 2)))
    inside = field[..., None]
    scattered = soften(image * inside, FORWARD) / np.maximum(soften(inside, FORWARD), 0.05)
    retina = image + FORWARD_SHARE * strength * inside * (scattered - image)
    lens = strength * channels(BROWN, image)
    mask = VEIL * strength * np.minimum(thickness, 1) * field
    return lay_over(absorb(retina, lens), absorb(channels(FLASH, image), lens), mask)


DEGRADATION = Degradation(
    name="haze",
    label="haze",
    modalities=("fundus",),
    scope="modality-specific",
    family="veil",
    aspect="contrast",
    cause="A clouded lens or vitreous scatters the flash and the light of the retina.",
    parameters=(
        "Strength drives the veil's share of the light in the middle of the field, to 0.85 at 1 "
        "(about 0.35 of that at its rim), the blur by forward scatter (sigma 0.025 of the short "
        "side, share to 0.8) and the brown of the lens (optical density 0.45 in blue).",
        "Drawn: the centre of the cloud, up to 0.25 field radii off axis, its reach, 0.7 to 1 "
        "radii, and its unevenness, +-15 %.",
    ),
    source="Peli and Peli, IEEE Transactions on Medical Imaging 8, 1989",
    simulate=haze,
    measure="rmse",
    mild=(0.035, 0.06),
    severe=(0.098, 0.13),
)
