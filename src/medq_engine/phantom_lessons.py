"""What the nano base is taught with: phantoms that show one taught fault each, or none."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from medq_engine import phantoms
from medq_engine.degradations import DEGRADATIONS
from medq_engine.descriptions import turns
from medq_engine.language import Finding, Sample
from medq_engine.parallel import map_indices
from medq_engine.simulation import augment, degrade, draw_findings, from_png, seeded, to_png
from medq_engine.vocabulary import MODALITIES, Modality


@dataclass(frozen=True)
class Phantom:
    """One teaching image: PNG bytes, its modality and the findings that were put into it."""

    png: bytes
    modality: Modality
    findings: tuple[Finding, ...]


def phantom_at(index: int, size: int, taught: tuple[str, ...], seed: str) -> Phantom:
    """The index-th teaching image; a quarter are fine, the rest show one taught fault."""
    modality = MODALITIES[index % len(MODALITIES)]
    rng = seeded("nano", seed, index)
    here = [name for name in taught if modality in DEGRADATIONS[name].modalities]
    findings = draw_findings(modality, {name: 0.75 / len(here) for name in here}, 0.0, rng)
    scene = augment(phantoms.draw(modality, size, rng), modality, rng)
    image, findings = degrade(scene, modality, findings, rng)
    return Phantom(to_png(image), modality, findings)


def draw_phantoms(count: int, size: int, taught: Sequence[str], seed: str) -> list[Phantom]:
    """Teaching images, drawn by all cores; the result depends on the arguments alone."""
    make = partial(phantom_at, size=size, taught=tuple(taught), seed=seed)
    return map_indices(make, count, "phantoms")


def lessons(teaching: Sequence[Phantom], seed: int) -> list[Sample]:
    """Teaching images with every turn that their findings support."""
    return [
        Sample(from_png(p.png), turns(p.modality, p.findings, seeded("lesson", seed, index)))
        for index, p in enumerate(teaching)
    ]
