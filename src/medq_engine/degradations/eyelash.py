"""Eyelash artifact.

Cause: the lids are not wide open, and lashes hang into the beam. Far out of focus before the eye,
each throws a soft, curved shadow on the rim of the picture, and the lid behind them returns the
flash as a bright haze.

Simulation: four to eight tapering, curved lashes enter from the upper or the lower rim, are spread
by the defocus of the camera and absorb light; a pale haze, brightest at that rim, lies under them.

Source: Raj et al., Fundus image quality assessment: survey, challenges, and future scope, IET Image
Processing 13, 2019 (eyelash artifacts).
"""

import numpy as np
from PIL import Image, ImageDraw

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_geometry import centred, depth
from medq_engine.degradations._field_stop import field_of_view
from medq_engine.degradations._fields import resize, short_side, soften
from medq_engine.degradations._optics import channels, lay_over
from medq_engine.degradations.base import Degradation

LID = (0.95, 0.78, 0.66)
OPACITY = 0.85  # of a lash, at strength 1
GLOW = 0.9  # share of the light at the rim that comes from the lid, at strength 1
DEFOCUS = 0.009  # sigma of the shadow's edge in short sides
ROOT, TIP = 0.03, 0.01  # width of a lash in short sides
STEPS = 12  # pieces of a lash, each of one width


def _shadow(field: np.ndarray, below: bool, rng: np.random.Generator) -> np.ndarray:
    """Mask (H, W) in [0, 1] of the lashes over a field of view, from its upper or its lower rim."""
    _, columns, radius = centred(field)
    short = short_side(field)
    inward = -1 if below else 1
    middle, fan = rng.uniform(-0.2, 0.2), rng.uniform(0.4, 0.9)
    canvas = Image.new("L", (2 * field.shape[1], 2 * field.shape[0]))
    pen = ImageDraw.Draw(canvas)
    along = np.linspace(0, 1, STEPS + 1)
    for place in np.linspace(-1, 1, int(rng.integers(4, 9))):
        start = radius * (middle + 0.55 * place) + rng.normal(0, 0.06)
        length, bend = rng.uniform(0.18, 0.42), rng.uniform(-0.8, 0.8)
        lean = fan * place + rng.normal(0, 0.2)
        column = int(np.argmin(np.abs(columns[0] - start)))
        lit = np.flatnonzero(field[:, column] > 0.5)
        root = (lit[-1] if below else lit[0]) if lit.size else (field.shape[0] - 1) * below
        angle = lean + bend * along[1:]
        step = length * short / STEPS
        across = np.concatenate([[0], np.cumsum(step * np.sin(angle))]) + column
        down = np.concatenate([[0], np.cumsum(step * np.cos(angle))]) * inward + root
        for k in range(STEPS):
            width = max(1, round(2 * short * (ROOT + (TIP - ROOT) * along[k])))
            ends = [(2 * across[j] + 1, 2 * down[j] + 1) for j in (k, k + 1)]
            pen.line(ends, fill=255, width=width)
    drawn = np.clip(resize(np.asarray(canvas) / 255, field.shape), 0, 1)
    return np.clip(1.15 * soften(drawn, DEFOCUS), 0, 1)


@simulator
def eyelash(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Lashes from above or below; at strength 1 0.85 opaque, the lid's haze 0.9 of the light."""
    below = bool(rng.integers(2))
    reach, centre = rng.uniform(0.1, 0.18), rng.uniform(-0.3, 0.3)
    field = field_of_view(image)
    shadow = _shadow(field, below, rng)
    rows, columns, radius = centred(field)
    side = np.clip((rows if below else -rows) / radius + 0.1, 0, 1)
    sideways = np.exp(-((columns / radius - centre) ** 2) / 0.6)
    haze = np.exp(-depth(field) / reach) * np.minimum(2 * side, 1) * sideways * field
    image = lay_over(image, channels(LID, image), GLOW * strength * haze)
    return lay_over(image, 0.0, OPACITY * strength * shadow * field)


DEGRADATION = Degradation(
    name="eyelash",
    label="eyelash artifact",
    modalities=("fundus",),
    scope="modality-specific",
    family="eyelash",
    aspect="none",
    cause="Lashes and the edge of the lid hang into the beam, out of focus.",
    parameters=(
        "Strength drives the opacity of the lashes, to 0.85 at 1, and the share of the lid's "
        "light at the rim, to 0.9.",
        "Drawn: the upper or the lower rim; 4 to 8 lashes, 0.18 to 0.42 of the short side long, "
        "their fan, lean and bend; the haze's middle and depth, 0.1 to 0.18 of the short side.",
    ),
    source="Raj et al., IET Image Processing 13, 2019",
    simulate=eyelash,
    measure="ms-ssim",
    mild=(0.04, 0.075),
    severe=(0.125, 0.18),
)
