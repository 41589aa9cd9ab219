"""Low contrast.

Cause: scattered radiation in CT, a cloudy lens or vitreous in fundus photography: a wide veil of
scattered light lies over the picture, and less of the direct light remains.

Simulation: a share of the light is spread very widely (Gaussian) and the rest stays where it is.

Source: Peli and Peli, Restoration of retinal images obtained through cataracts, IEEE Transactions
on Medical Imaging 8, 1989.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import haze
from medq_engine.degradations.base import Degradation

SCATTERED = 0.85  # share of the light, at strength 1
WIDTH = 0.3  # sigma of the veil in short sides


@simulator
def low_contrast(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Veiled picture; strength 1 scatters 0.85 of the light. `rng` is not used."""
    return image + SCATTERED * strength * (haze(image, WIDTH) - image)


DEGRADATION = Degradation(
    name="low-contrast",
    label="low contrast",
    modalities=("ct", "fundus"),
    scope="general",
    cause="A veil of scattered radiation or light covers the picture.",
    source="Peli and Peli, IEEE Transactions on Medical Imaging 8, 1989",
    simulate=low_contrast,
    mild=0.45,
    severe=0.9,
)
