"""The embedded world: records from real scenes and phantoms, truth known by construction.

A *world* is the pristine scenes of one split (dev, gate, test or pool). Every record depends on the
seed, the split and its own index, and on nothing else, so any number of processes draw the same
records.
"""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import polars as pl
from PIL import Image

from medq_engine import phantoms
from medq_engine.degradations import for_modality
from medq_engine.language import Finding
from medq_engine.parallel import map_indices
from medq_engine.simulation import (
    augment,
    content_id,
    degrade,
    draw_findings,
    seeded,
    to_png,
)
from medq_engine.slices import Scene
from medq_engine.vocabulary import MODALITIES, Modality


@dataclass(frozen=True)
class Made:
    """One record (row of the contract) with its truth, which travels apart from it."""

    record: dict[str, object]
    scene_id: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class World:
    """How the records of a split are drawn.

    Args:
        split: dev, gate, test or pool; part of every seed.
        size: Width and height of a record, px.
        scenes: Real scenes by modality.
        phantom_share: Share of phantoms in a modality that has real scenes.
        fill_below: A modality with fewer real scenes gets phantoms for what is missing.
        shares: Probability of each degradation by name; the rest are fine images.
        seed: Seed of the world.
    """

    split: str
    size: int
    scenes: Mapping[Modality, Sequence[Scene]]
    phantom_share: float
    fill_below: int
    shares: Mapping[Modality, Mapping[str, float]]
    seed: int

    def phantoms_in(self, modality: Modality) -> float:
        """Probability that a record of the modality is a phantom."""
        missing = 1 - len(self.scenes.get(modality, ())) / self.fill_below
        return max(self.phantom_share if self.scenes.get(modality) else 1.0, missing)


def scenes_of(table: pl.DataFrame, split: str) -> dict[Modality, list[Scene]]:
    """The real scenes of a split (rows of schema SCENE) by modality."""
    groups: dict[Modality, list[Scene]] = defaultdict(list)
    for row in table.filter(pl.col("split") == split).iter_rows(named=True):
        pixels = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])), dtype=np.float32) / 255
        kept = {field.name: row[field.name] for field in fields(Scene) if field.name != "image"}
        groups[row["modality"]].append(Scene(image=pixels, **kept))
    return dict(groups)


def names_by_modality(names: Sequence[str]) -> dict[Modality, list[str]]:
    """Names of degradations, sorted into the modalities where they occur."""
    return {m: [d.name for d in for_modality(m) if d.name in names] for m in MODALITIES}


def phantom_scene(world: World, modality: Modality, index: int) -> Scene:
    """A fresh phantom, a subject of its own."""
    name = f"phantom/{world.split}/{modality}/{index:06d}"
    image = phantoms.draw(modality, world.size, seeded("phantom", world.seed, name))
    return Scene(
        scene_id=name,
        image=image,
        modality=modality,
        subject_id=name,
        source="medq_engine.phantoms",
        origin="phantom",
        licence="Apache-2.0",
        split=world.split,
    )


def make(world: World, index: int) -> Made:
    """The index-th record of a world; modalities take turns."""
    modality = MODALITIES[index % len(MODALITIES)]
    rng = seeded("record", world.seed, world.split, index)
    if rng.random() < world.phantoms_in(modality):
        scene = phantom_scene(world, modality, index)
    else:
        real = world.scenes[modality]
        scene = real[int(rng.integers(len(real)))]
    findings = draw_findings(modality, world.shares[modality], rng)
    png = to_png(degrade(augment(scene.image, modality, rng), modality, findings, rng))
    image_id = content_id(png)
    record = {
        "image_id": image_id,
        "image": {"bytes": png, "path": f"{image_id}.png"},
        "modality": modality,
        "subject_id": scene.subject_id,
        "source": scene.source,
        "origin": scene.origin,
        "licence": scene.licence,
        "width": world.size,
        "height": world.size,
    }
    return Made(record, scene.scene_id, findings)


def make_all(world: World, count: int) -> list[Made]:
    """The first `count` records of a world, drawn by all cores, exact duplicates dropped."""
    made = map_indices(partial(make, world), count, world.split)
    return list({one.record["image_id"]: one for one in made}.values())


def benchmark_shares(names: Mapping[Modality, Sequence[str]], fine: float) -> dict:
    """Every fault of a modality equally often, beside a share of fine images."""
    return {m: {n: (1 - fine) / len(ns) for n in ns} for m, ns in names.items()}


def pool_shares(
    names: Mapping[Modality, Sequence[str]], rare: Sequence[str], common: float, rarity: float
) -> dict:
    """Common faults share `common`, rare ones share `rarity`; the rest of the pool is fine."""
    shares = {}
    for modality, here in names.items():
        seldom = [name for name in here if name in rare]
        often = [name for name in here if name not in rare]
        shares[modality] = {n: rarity / len(seldom) for n in seldom} | {
            n: common / len(often) for n in often
        }
    return shares
