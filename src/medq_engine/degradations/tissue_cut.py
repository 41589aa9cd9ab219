"""Tissue cut.

Cause: a nick in the microtome knife or its vibration cuts and tears the section along the line of
the cut; tissue is missing between straight, parallel edges, and is pressed together beside them.

Simulation: two or three parallel slits across the image; between their edges, frayed a little, the
optical density of the tissue is taken away and the glass remains, beside them it grows.

Source: Taqi et al., A review of artifacts in histopathology, Journal of Oral and Maxillofacial
Pathology 22, 2018; Wang et al., Stress testing pathology models with generated artifacts, Journal
of Pathology Informatics 12, 2021.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates, pick_point, short_side
from medq_engine.degradations._optics import absorb, luminance
from medq_engine.degradations._stains import tissue_density
from medq_engine.degradations.base import Degradation

FRAYS = np.linspace(-2, 2, 161)  # where the fraying of an edge is drawn, in short sides
FRAY = 0.006  # standard deviation of an edge of a wide slit, in short sides
PRESSED = 0.7  # density that is added to the tissue beside a slit, as a share of its own


@simulator
def tissue_cut(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Parallel slits of clear glass; strength 1 has one 0.18 of the short side wide."""
    density = tissue_density(image)
    rows, columns = coordinates(image.shape)
    central = np.maximum(abs(rows), abs(columns)) < 0.25
    row, column = pick_point(luminance(density) ** 2 * central, rng)
    angle = rng.uniform(0, np.pi)
    slits = rng.integers(2, 4)
    along = (rows - row) * np.sin(angle) + (columns - column) * np.cos(angle)
    across = (rows - row) * np.cos(angle) - (columns - column) * np.sin(angle)

    pixel, half = 1 / short_side(image), 0.09 * strength
    missing, pressed = np.zeros_like(across), np.zeros_like(across)
    places = rng.uniform(0.8, 1.2) * 0.24 * np.array([0, 1, -1])
    widths = np.array([1, 0.6, 0.45]) * rng.uniform(0.8, 1.2, 3)
    for place, width in zip(places[:slits], half * widths[:slits], strict=True):
        frays = [np.interp(along, FRAYS, rng.standard_normal(FRAYS.size)) for _ in range(2)]
        low = place - width - min(FRAY, 0.3 * width) * frays[0]
        high = place + width + min(FRAY, 0.3 * width) * frays[1]
        # Share of the pixel that lies between the edges: none when the slit is closed.
        below, above = ((edge - across) / pixel + 0.5 for edge in (low, high))
        missing = np.maximum(missing, np.clip(above, 0, 1) - np.clip(below, 0, 1))
        outside = np.maximum(np.maximum(low - across, across - high), 0) / 0.02
        pressed = np.maximum(pressed, np.exp(-(outside**2)))
    pressed = PRESSED * min(1.0, 3 * strength) * pressed * (1 - missing)
    return absorb(image, (pressed - missing)[..., None] * density)


DEGRADATION = Degradation(
    name="tissue-cut",
    label="tissue cut",
    modalities=("histopathology",),
    scope="modality-specific",
    family="tissue-cut",
    aspect="none",
    cause="A nick in the knife tears the section along straight lines.",
    parameters=(
        "strength: width of the main slit, up to 0.18 of the short side; pressed edges",
        "seed: a place in tissue, the angle, two or three slits 0.19 to 0.29 apart",
        "seed: widths of the slits (+-20 %), fraying of the edges (0.6 % of the short side)",
    ),
    source="Taqi et al., Journal of Oral and Maxillofacial Pathology 22, 2018",
    simulate=tissue_cut,
    measure="ms-ssim",
    mild=(0.05, 0.09),
    severe=(0.18, 0.28),
)
