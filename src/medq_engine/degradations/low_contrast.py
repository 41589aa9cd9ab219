"""Low contrast.

Cause: scattered radiation or too wide a window in CT, weak weighting in MRI, stray light within an
endoscope or a fundus camera: what tells one tissue from another is lost to an even veil.

Simulation: a share of the light is spread very widely (Gaussian) over what is lit and the rest
stays where it is; the black round a body or a field of view stays black. In colour, half of the
veil comes off the instrument's own surfaces and has lost the colour of the tissue.

Source: Bushberg et al., The Essential Physics of Medical Imaging, 3rd edition 2011, chapter 4; for
optics, ISO 9358:1994, veiling glare of image-forming systems.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_stop import field_of_view
from medq_engine.degradations._fields import haze
from medq_engine.degradations._optics import luminance
from medq_engine.degradations.base import Degradation

SCATTERED = 0.98  # share of the light, at strength 1
WIDTH = 0.3  # sigma of the veil in short sides
WHITE = 0.5  # share of the veil that has lost the colour of the tissue


@simulator
def low_contrast(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Veiled picture; strength 1 scatters 0.98 of the light. `rng` is not used."""
    field = field_of_view(image)[..., None]
    veil = haze(image * field, WIDTH) / np.maximum(haze(field, WIDTH), 0.05)
    veil += WHITE * (luminance(veil)[..., None] - veil)
    return image + SCATTERED * strength * field * (veil - image)


DEGRADATION = Degradation(
    name="low-contrast",
    label="low contrast",
    modalities=("mri", "ct", "endoscopy", "fundus"),
    scope="general",
    family="veil",
    aspect="contrast",
    cause="A veil of scattered radiation or light covers the picture.",
    parameters=(
        "Strength drives the share of the light that is scattered, to 0.98 at 1.",
        "Nothing is drawn.",
    ),
    source="Bushberg et al., The Essential Physics of Medical Imaging, 2011; ISO 9358:1994",
    simulate=low_contrast,
    measure="ms-ssim",
    mild=(0.035, 0.065),
    severe=(0.125, 0.185),
)
