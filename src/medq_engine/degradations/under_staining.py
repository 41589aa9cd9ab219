"""Under-staining.

Cause: the dye is exhausted, the bath too short, or the slide faded in the light. Haematoxylin
suffers more than eosin, so that nuclei lose their blue before cytoplasm loses its pink.

Simulation: colour deconvolution, each dye scaled down, haematoxylin most. Clear glass stays as
bright as it was, unlike in a picture that is exposed too long.

Source: Ruifrok and Johnston, Analytical and Quantitative Cytology and Histology 23, 2001, for the
unmixing; Suvarna, Layton and Bancroft, Bancroft's Theory and Practice of Histological Techniques,
8th ed., 2019, for the cause (fading and exhausted baths).
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._stains import restain, unmix
from medq_engine.degradations.base import Degradation

# Least and greatest share of a dye that is lost, at strength 1: haematoxylin, eosin, DAB.
LOSS = (0.92, 0.65, 0.65), (0.98, 0.85, 0.85)


@simulator
def under_staining(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Too little dye; strength 1 leaves about 5 % of haematoxylin and 25 % of eosin."""
    amounts = unmix(image)
    loss = rng.uniform(*LOSS)[: amounts.shape[2]]
    return restain(image, amounts, 1 - strength * loss)


DEGRADATION = Degradation(
    name="under-staining",
    label="under-staining",
    modalities=("histopathology",),
    scope="modality-specific",
    family="under-staining",
    aspect="contrast",
    cause="The section takes up too little dye or fades, nuclei more than cytoplasm.",
    parameters=(
        "strength: share of the dyes that is lost, at 1 all but 5 % (haematoxylin), 25 % (others)",
        "seed: loss at strength 1, of haematoxylin 92 to 98 %, of the other dyes 65 to 85 %",
    ),
    source="Ruifrok and Johnston, Analytical and Quantitative Cytology and Histology 23, 2001",
    simulate=under_staining,
    measure="ms-ssim",
    mild=(0.03, 0.06),
    severe=(0.17, 0.30),
)
