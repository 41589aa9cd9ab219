"""Air bubble under the coverslip.

Cause: air trapped in the mounting medium is a lens of lower refractive index: total reflection
makes its rim dark, light gathers just inside the rim, and the tissue within is pale and blurred.

Simulation: one to three slightly irregular ovals; inside, the tissue is blurred and pale; at the
rim a dark line with a bright line inside it.

Source: Taqi et al., A review of artifacts in histopathology, Journal of Oral and Maxillofacial
Pathology 22, 2018.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates, soften
from medq_engine.degradations._optics import lay_over
from medq_engine.degradations.base import Degradation


@simulator
def air_bubble(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Air bubbles; at strength 1 one alone is about 0.36 of the short side in radius."""
    rows, columns = coordinates(image.shape)
    contrast = min(1.0, 6 * strength)
    # Thirds of a turn apart, since bubbles that touch become one.
    count = rng.integers(1, 4)
    turns = rng.uniform(0, 2 * np.pi) + 2 * np.pi / 3 * np.arange(count)
    for turn in turns:
        row, column = rng.uniform(0.28, 0.38) * np.array([np.sin(turn), np.cos(turn)])
        radius = rng.uniform(0.8, 1.1) * (0.06 + 0.32 * strength) / np.sqrt(count)
        y, x = (rows - row) / rng.uniform(0.8, 1.25), columns - column
        angle = np.arctan2(y, x)
        wobble = 1 + 0.05 * np.cos(2 * angle + rng.uniform(0, 6)) + 0.03 * np.cos(3 * angle)
        edge = (np.hypot(y, x) / wobble - radius) / 0.014  # 0 on the rim, 1 a rim's width outside
        pale = 0.35 + 0.65 * soften(image, 0.02)
        inside = 1 / (1 + np.exp(np.clip(4 * edge, -30, 30)))
        image = image + contrast * inside[..., None] * (pale - image)
        image = lay_over(image, 1.0, 0.8 * contrast * np.exp(-((edge + 2.4) ** 2)))
        image = lay_over(image, 0.08, 0.85 * contrast * np.exp(-(edge**2)))
    return image


DEGRADATION = Degradation(
    name="air-bubble",
    label="air bubble",
    modalities=("histopathology",),
    scope="modality-specific",
    family="air-bubble",
    aspect="none",
    cause="Air trapped under the coverslip refracts the light.",
    parameters=(
        "strength: radius, 0.06 to 0.38 of the short side over the root of the number of bubbles",
        "strength: contrast of rim and inside, full from 1/6 on",
        "seed: one to three bubbles, place, radius (0.8 to 1.1), flattening and wobble of each",
    ),
    source="Taqi et al., Journal of Oral and Maxillofacial Pathology 22, 2018",
    simulate=air_bubble,
    measure="ms-ssim",
    mild=(0.05, 0.09),
    severe=(0.20, 0.30),
)
