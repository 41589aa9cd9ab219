"""Images whose quality is known by construction: a pristine scene, seeded faults, a record.

Truth is the list of findings that were applied; it travels apart from the image (design: pool and
oracle), and whoever receives only the record cannot see it.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from medq_engine.degradations import DEGRADATIONS, STRENGTHS, for_modality
from medq_engine.language import Finding, unlike
from medq_engine.vocabulary import Modality

NAMES = {degradation.label: degradation.name for degradation in DEGRADATIONS.values()}
# No image has too much and too little of one thing.
OPPOSITES = (("over-exposure", "under-exposure"), ("over-staining", "under-staining"))
NINTHS = (
    ("in the upper left", "at the top", "in the upper right"),
    ("on the left", "in the centre", "on the right"),
    ("in the lower left", "at the bottom", "in the lower right"),
)


def seeded(*parts: object) -> np.random.Generator:
    """A generator that depends on the parts alone, so the order of work changes nothing."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def augment(scene: np.ndarray, modality: Modality, rng: np.random.Generator) -> np.ndarray:
    """Another view of a pristine scene: mirrored, shifted by up to 6 %, and for tissue turned.

    Only exact pixel moves: resampling would blur the scene, and blur is one of the faults.
    """
    view = scene[:, ::-1] if rng.random() < 0.5 else scene
    if modality == "histopathology":
        view = np.rot90(view, k=int(rng.integers(4)))
    margin = max(1, round(0.06 * scene.shape[0]))
    pad = [(margin, margin), (margin, margin)] + [(0, 0)] * (scene.ndim - 2)
    top, left = rng.integers(0, 2 * margin + 1, size=2)
    height, width = scene.shape[:2]
    padded = np.pad(view, pad, mode="edge")
    return np.ascontiguousarray(padded[top : top + height, left : left + width])


def degrade(
    image: np.ndarray, modality: Modality, findings: Sequence[Finding], rng: np.random.Generator
) -> tuple[np.ndarray, tuple[Finding, ...]]:
    """Apply findings one after another to a float32 image in [0, 1]: optics first, noise last.

    Returns:
        The image, and the findings in that order, each with the place where it changed the image.
    """
    by_label = {degradation.label: degradation for degradation in for_modality(modality)}
    located = []
    for finding in sorted(findings, key=lambda found: by_label[found.label].aspect == "noise"):
        degradation = by_label[finding.label]
        strength = STRENGTHS[degradation.name][modality][finding.severity]
        degraded = degradation.simulate(image, strength, rng)
        located.append(replace(finding, place=place_of(image, degraded)))
        image = degraded
    return image, tuple(located)


def place_of(before: np.ndarray, after: np.ndarray) -> str:
    """Where an image changed, as a phrase: a ninth of it with half of the change, a half, or all.

    Args:
        before, after: (H, W) or (H, W, 3), of the same shape.
    """
    change = np.abs(after - before).reshape(*before.shape[:2], -1).sum(2)
    rows, columns = (np.linspace(0, length, 4).round().astype(int) for length in change.shape)
    ninths = np.add.reduceat(np.add.reduceat(change, rows[:3], 0), columns[:3], 1)
    ninths /= max(float(ninths.sum()), 1e-12)
    row, column = np.unravel_index(ninths.argmax(), ninths.shape)
    if ninths[row, column] > 0.5:
        return NINTHS[row][column]
    halves = {
        "in the upper half": ninths[0].sum() + ninths[1].sum() / 2,
        "in the lower half": ninths[2].sum() + ninths[1].sum() / 2,
        "in the left half": ninths[:, 0].sum() + ninths[:, 1].sum() / 2,
        "in the right half": ninths[:, 2].sum() + ninths[:, 1].sum() / 2,
    }
    half = max(halves, key=halves.__getitem__)
    return half if halves[half] > 0.75 else "throughout the image"


def draw_findings(
    modality: Modality,
    shares: Mapping[str, float],
    compound: float,
    rng: np.random.Generator,
) -> tuple[Finding, ...]:
    """At most one fault, and sometimes a second; mild or severe evenly.

    Args:
        modality: Where the faults must occur.
        shares: Probability of each degradation (by name); the rest of the mass is a fine image.
            Names that do not occur in the modality are ignored.
        compound: Probability that a faulty image has a second fault, of those that are in `shares`
            and look unlike the first, all equally likely.
        rng: Source of the draw.
    """
    names = [d.name for d in for_modality(modality) if shares.get(d.name, 0) > 0]
    probabilities = [shares[name] for name in names]
    drawn = str(rng.choice([*names, ""], p=[*probabilities, 1 - sum(probabilities)]))
    if not drawn:
        return ()
    first = DEGRADATIONS[drawn].label
    faults = [first]
    beside = [label for label in companions(modality, [first]) if NAMES[label] in names]
    if rng.random() < compound and beside:
        faults.append(str(rng.choice(beside)))
    return tuple(Finding(label, "mild" if rng.random() < 0.5 else "severe") for label in faults)


def companions(modality: Modality, present: Sequence[str]) -> tuple[str, ...]:
    """Labels of the faults that can stand beside those `present`: unlike them, and no opposite."""
    ruled_out = {other for pair in OPPOSITES if set(pair) & set(present) for other in pair}
    return tuple(label for label in unlike(modality, present) if label not in ruled_out)


def to_png(image: np.ndarray) -> bytes:
    """A float image in [0, 1] as PNG bytes (grey or RGB, 8 bit)."""
    buffer = io.BytesIO()
    Image.fromarray(np.round(image * 255).astype(np.uint8)).save(buffer, "PNG", optimize=False)
    return buffer.getvalue()


def from_png(data: bytes) -> Image.Image:
    """Image bytes as an RGB Pillow image, the form in which models and encoders take images."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def content_id(data: bytes) -> str:
    """The record's `image_id`: 16 hex digits of the SHA-256 of the image file's bytes."""
    return hashlib.sha256(data).hexdigest()[:16]
