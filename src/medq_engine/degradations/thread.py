"""Thread.

Cause: a textile fibre falls on the slide and is mounted with the section. It is a cylinder of
another refractive index: its sides bend light out of the objective and are dark, its middle gathers
light and is bright. It lies above the plane of focus.

Simulation: a curve whose direction wanders smoothly; a dark line with a bright, slightly coloured
core is laid over the tissue, blurred a little; the stronger, the longer, thicker and more opaque.

Source: Schömig-Markiefka et al., Quality control stress test for deep learning-based diagnostic
model in digital pathology, Modern Pathology 34, 2021.
"""

import numpy as np
from PIL import Image, ImageDraw

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._fields import coordinates, resize, short_side, soften
from medq_engine.degradations._optics import absorb, channels, lay_over
from medq_engine.degradations.base import Degradation

# Light through the core in red, green, blue: bare cotton, and cotton dyed blue or yellow.
CORES = ((0.97, 0.97, 0.96), (0.72, 0.82, 0.97), (0.98, 0.93, 0.70))
WALL = 1.9  # optical density of the dark sides
STEPS = 320
CANVAS = 384  # pixels of the short side, at least, on which the curve is drawn


@simulator
def thread(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A fibre; strength 1 is 0.095 of the short side wide and some 4 short sides long."""
    height, width, _ = image.shape
    short = short_side(image)
    core = channels(CORES[rng.integers(len(CORES))], image)
    row, column = rng.uniform(-0.2, 0.2, 2)
    thickness = rng.uniform(0.85, 1.15) * (0.028 + 0.067 * strength)
    along = np.linspace(-2.0, 2.0, STEPS)
    heading = rng.uniform(0, 2 * np.pi)
    for waves in rng.uniform((0.15, 0.35, 0.7), (0.35, 0.7, 1.2)):
        heading = heading + rng.uniform(0.7, 1.5) * np.sin(
            2 * np.pi * waves * along + rng.uniform(0, 2 * np.pi)
        )
    path = np.stack([np.cos(heading), np.sin(heading)], axis=1).cumsum(axis=0) * 4 / STEPS
    path = path - path[STEPS // 2] + (column, row)

    scale = max(2, -(-CANVAS // short))
    corner = np.array([c.min() for c in coordinates(image.shape)])[::-1]
    laid = path[np.abs(along) <= 0.1 + 1.9 * strength]
    points = [tuple(point) for point in (laid - corner) * scale * short]

    def line(share: float) -> np.ndarray:
        canvas = Image.new("L", (scale * width, scale * height))
        pixels = max(1, round(share * thickness * scale * short))
        ImageDraw.Draw(canvas).line(points, fill=255, width=pixels, joint="curve")
        return np.clip(soften(resize(np.asarray(canvas) / 255, image.shape), 0.004), 0, 1)

    opacity = min(1.0, 6 * strength)
    shaded = absorb(image, opacity * WALL * line(1.0)[..., None])
    return lay_over(shaded, core, 0.85 * opacity * line(0.5))


DEGRADATION = Degradation(
    name="thread",
    label="thread",
    modalities=("histopathology",),
    scope="modality-specific",
    family="thread",
    aspect="none",
    cause="A textile fibre lies on the section and refracts the light.",
    parameters=(
        "strength: width up to 0.095, length up to 4 short sides, opacity (full from 1/6 on)",
        "seed: place, direction and bends of the fibre, width +-15 %, colour of the core",
    ),
    source="Schömig-Markiefka et al., Modern Pathology 34, 2021",
    simulate=thread,
    measure="ms-ssim",
    mild=(0.05, 0.09),
    severe=(0.17, 0.28),
)
