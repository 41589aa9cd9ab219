"""Dark spots.

Cause: grains lie on the section that no dye put into the tissue: acid haematin (formalin pigment),
precipitate of an unfiltered haematoxylin bath, or dirt. They lie above the plane of focus.

Simulation: clusters of irregular brown-black grains whose shadows, blurred a little, take the light
away; the stronger, the more grains, each at its place, and the larger.

Source: Taqi et al., A review of artifacts in histopathology, Journal of Oral and Maxillofacial
Pathology 22, 2018; Schömig-Markiefka et al., Quality control stress test for deep learning-based
diagnostic model in digital pathology, Modern Pathology 34, 2021.
"""

import numpy as np
from PIL import Image, ImageDraw

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import resize, short_side, soften
from medq_engine.degradations._optics import absorb, channels, lay_over
from medq_engine.degradations.base import Degradation

PIGMENT = (2.2, 2.6, 3.0)  # optical density of a grain in red, green, blue
GRAINS = 110
CORNERS = 9
CANVAS = 384  # pixels of the short side, at least, on which outlines are drawn


@simulator
def dark_spot(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Clusters of dark grains; strength 1 is 110 grains of about 0.025 of the short side."""
    height, width, _ = image.shape
    short = short_side(image)
    clusters = rng.uniform(0.12, 0.88, (4, 2)) * (height / short, width / short)
    spreads = rng.uniform(0.03, 0.11, 4)
    # Skewed, so that one cluster rules and the last has a few grains.
    members = np.minimum((4 * rng.random(GRAINS) ** 1.7).astype(int), 3)
    centres = clusters[members] + spreads[members, None] * rng.standard_normal((GRAINS, 2))
    radii = 0.0095 * np.exp(0.45 * rng.standard_normal(GRAINS)).clip(0.4, 2.5)
    outlines = rng.uniform(0.55, 1.25, (GRAINS, CORNERS)) * radii[:, None] * (0.7 + 0.7 * strength)
    turns = np.arange(CORNERS) * 2 * np.pi / CORNERS
    rows = centres[:, :1] + outlines * np.sin(turns)
    columns = centres[:, 1:] + outlines * np.cos(turns)

    scale = max(2, -(-CANVAS // short))
    canvas = Image.new("L", (scale * width, scale * height))
    draw = ImageDraw.Draw(canvas)
    present = np.clip(strength * GRAINS - np.arange(GRAINS), 0, 1)
    for grain in np.flatnonzero(present)[::-1]:  # the last one is fainter: under the others
        corners = np.stack([columns[grain], rows[grain]], axis=1) * scale * short
        draw.polygon([tuple(corner) for corner in corners], fill=round(255 * present[grain]))
    shadow = soften(resize(np.asarray(canvas) / 255, image.shape), 0.003)
    return lay_over(image, absorb(image, channels(PIGMENT, image)), np.clip(shadow, 0, 1))


DEGRADATION = Degradation(
    name="dark-spot",
    label="dark spot",
    modalities=("histopathology",),
    scope="modality-specific",
    family="dark-spot",
    aspect="none",
    cause="Grains of pigment or of precipitated dye lie on the section.",
    parameters=(
        "strength: number of grains, up to 110, and their size, up to 1.4 times the drawn one",
        "seed: places of four clusters, their spread 0.03 to 0.11 of the short side",
        "seed: places of the grains, radius about 0.0095 of the short side, log-normal; outlines",
    ),
    source="Taqi et al., Journal of Oral and Maxillofacial Pathology 22, 2018",
    simulate=dark_spot,
    measure="ms-ssim",
    mild=(0.035, 0.07),
    severe=(0.15, 0.25),
)
