"""Images whose quality is known by construction: a pristine scene, seeded faults, a record.

Truth is the list of findings that were applied; it travels apart from the image (design: pool and
oracle), and whoever receives only the record cannot see it.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from medq_engine.degradations import DEGRADATIONS, for_modality
from medq_engine.language import Finding
from medq_engine.vocabulary import Modality


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
) -> np.ndarray:
    """Apply findings in order to a float32 image in [0, 1]; no finding returns it unchanged."""
    by_label = {degradation.label: degradation for degradation in for_modality(modality)}
    for finding in findings:
        image = by_label[finding.label].apply(image, finding.severity, rng)
    return image


def draw_findings(
    modality: Modality, shares: Mapping[str, float], rng: np.random.Generator
) -> tuple[Finding, ...]:
    """At most one fault: fault `name` with probability `shares[name]`, mild or severe evenly.

    Args:
        shares: Probability of each degradation (by name); the rest of the mass is a fine image.
            Names that do not occur in the modality are ignored.
    """
    names = [d.name for d in for_modality(modality) if shares.get(d.name, 0) > 0]
    probabilities = [shares[name] for name in names]
    drawn = rng.choice([*names, ""], p=[*probabilities, 1 - sum(probabilities)])
    if not drawn:
        return ()
    severity = "mild" if rng.random() < 0.5 else "severe"
    return (Finding(DEGRADATIONS[str(drawn)].label, severity),)


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
