"""Over-staining.

Cause: the section stays in the dye too long or is differentiated too little. The sites that bind
much dye are nearly full already, so that cytoplasm and stroma catch up with the nuclei.

Simulation: colour deconvolution, then each dye is exposed longer and saturates by the Langmuir
isotherm. Clear glass binds nothing and stays clear, unlike in a picture that is too dark.

Source: Ruifrok and Johnston, Analytical and Quantitative Cytology and Histology 23, 2001, for the
unmixing; Suvarna, Layton and Bancroft, Bancroft's Theory and Practice of Histological Techniques,
8th ed., 2019, for the cause (progressive and regressive staining).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._stains import restain, unmix, uptake
from medq_engine.degradations.base import Degradation

EXPOSURE = 2.2  # natural log of the gain of exposure, at strength 1


@simulator
def over_staining(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Too much dye that saturates; strength 1 is about ten times the haematoxylin."""
    amounts = unmix(image)
    balance = rng.uniform((0.95, 0.5, 0.5), (1.15, 0.9, 0.9))[: amounts.shape[2]]
    return restain(image, amounts, uptake(amounts, np.exp(strength * EXPOSURE * balance)))


DEGRADATION = Degradation(
    name="over-staining",
    label="over-staining",
    modalities=("histopathology",),
    scope="modality-specific",
    family="over-staining",
    aspect="none",
    cause="The section lies in the dye too long, and binds dye until its sites are full.",
    parameters=(
        "strength: exposure, to 10 times (haematoxylin), 5 times (others); binding saturates",
        "seed: share of the (log) gain for haematoxylin 0.95 to 1.15, for others 0.5 to 0.9",
    ),
    source="Ruifrok and Johnston, Analytical and Quantitative Cytology and Histology 23, 2001",
    simulate=over_staining,
    measure="ms-ssim",
    mild=(0.04, 0.07),
    severe=(0.14, 0.24),
)
