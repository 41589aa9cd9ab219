"""Blood.

Cause: bleeding tissue leaves a pool on the mucosa, or blood splashes onto the lens.

Simulation: a film of blood, thick in the middle and curved at its edge as surface tension makes it,
absorbs light by Beer-Lambert with the density of haemoglobin in the three channels: little red,
nearly all green and blue. It spreads from a point, lobed by the relief and drawn down by gravity,
with droplets about; its wet edge mirrors the lamp in small glints.

Source: Bosschaart et al., A literature review and novel theoretical approach on the optical
properties of whole blood, Lasers in Medical Science 29, 2014.
"""

import numpy as np

from medq_engine.degradations._contract import simulator
from medq_engine.degradations._field_stop import circle, field_of_view
from medq_engine.degradations._fields import coordinates, short_side, smooth_field, soften
from medq_engine.degradations._optics import absorb, channels, lay_over, luminance
from medq_engine.degradations.base import Degradation

# Optical density of the thickest film on the encoded values of red, green and blue.
HAEMOGLOBIN = (0.65, 2.7, 2.6)
REACH = 0.55  # radius of the pool in short sides, at strength 1
EDGE = 0.12  # width in short sides over which the film gains its full thickness
DROPLETS = 16  # at strength 1


@simulator
def blood(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A pool with droplets; strength 1 is about 0.55 of the short side in radius."""
    lobes = 0.7 * smooth_field(image.shape, 4, rng) + 0.3 * smooth_field(image.shape, 12, rng)
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.55)
    centres, radii = rng.normal(0, 0.3, (DROPLETS, 2)), rng.uniform(0.01, 0.035, DROPLETS)
    field = field_of_view(image)
    row, column, radius = circle(field)
    rows, columns = coordinates(image.shape)
    y = rows - row - offset * radius * np.sin(angle)
    x = columns - column - offset * radius * np.cos(angle)
    spread = np.hypot(np.where(y > 0, 0.75, 1.1) * y, x) * (1 + 0.55 * lobes)
    depth = (REACH * strength - spread) / EDGE
    present = np.clip(strength * DROPLETS - np.arange(DROPLETS), 0, 1)
    for share, centre, size in zip(present, centres, radii, strict=True):
        drop = (size * share - np.hypot(y - centre[0], x - centre[1])) / EDGE
        depth = np.maximum(depth, 3 * drop)
    film = np.sqrt(np.clip(depth, 0, 1)) * min(1.0, strength / 0.08)
    film = soften(film, 0.006) * field
    coloured = absorb(image, film[..., None] * channels(HAEMOGLOBIN, image))
    # The film is a lens-shaped mirror: it shows the lamp where its slope is just so.
    down, right = np.stack(np.gradient(soften(film, 0.012))) * short_side(image) * EDGE
    glint = np.exp(-((down - 0.55) ** 2 + (right - 0.35) ** 2) / 0.012)
    lit = np.clip(3 * soften(luminance(image), 0.02), 0, 1)
    return lay_over(coloured, 1.0, 0.85 * glint * lit)


DEGRADATION = Degradation(
    name="blood",
    label="blood",
    modalities=("endoscopy",),
    scope="modality-specific",
    family="blood",
    aspect="none",
    cause="Blood lies in a film on the tissue or on the lens.",
    parameters=(
        "strength: radius of the pool, up to 0.55 of the short side; number of droplets, up to 16; "
        "thickness of the film, in full from 0.08",
        "seed: place of the pool (0.25 to 0.55 radii off the middle) and its lobes",
        "seed: place and radius (0.01 to 0.035 of the short side) of each droplet",
    ),
    source="Bosschaart et al., Lasers in Medical Science 29, 2014",
    simulate=blood,
    measure="ms-ssim",
    mild=(0.05, 0.09),
    severe=(0.22, 0.36),
)
