"""The embedded world: records from real scenes and phantoms, truth known by construction.

A *world* is the pristine scenes of one split (dev, gate, test or pool) and a plan of what each
record shows. Every record depends on the seed, the split, its own index and its place in the plan,
so any number of processes draw the same records.
"""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import cycle, islice

import numpy as np
import polars as pl
from PIL import Image

from medq_engine import phantoms
from medq_engine.degradations import DEGRADATIONS, for_modality
from medq_engine.language import Finding
from medq_engine.parallel import map_indices
from medq_engine.simulation import (
    augment,
    companions,
    content_id,
    degrade,
    draw_findings,
    seeded,
    to_png,
)
from medq_engine.slices import Scene
from medq_engine.vocabulary import MODALITIES, Modality

Plan = Mapping[Modality, Sequence[tuple[Finding, ...]]]
COMPOUND_SHARE = 0.15
"""Of the faulty images of a benchmark."""
# Severities of compound faults, in turn: half of the images are "usable", and the worst fault is
# mild in as many as it is severe but for the three mild ones, which are "reject" by their number.
M, S = "mild", "severe"
PATTERNS = ((M, M), (M, S), (M, M), (S, S), (M, M), (M, M, M), (M, M), (M, S, M))


@dataclass(frozen=True)
class Made:
    """One record (row of the contract) with its truth, which travels apart from it.

    `shows` are labels of faults that the pristine scene has by itself: nothing is asked about them.
    """

    record: dict[str, object]
    scene_id: str
    anatomy: str
    shows: tuple[str, ...]
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
        plan: What each record of a modality shows, in the order in which they are drawn.
        per_scene: Records in a row of a modality that show one scene: 2 makes pairs to compare.
        seed: Seed of the world.
    """

    split: str
    size: int
    scenes: Mapping[Modality, Sequence[Scene]]
    phantom_share: float
    fill_below: int
    plan: Plan
    per_scene: int
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
        groups[row["modality"]].append(Scene(image=pixels, **kept | {"shows": tuple(row["shows"])}))
    return dict(groups)


def names_by_modality(names: Sequence[str]) -> dict[Modality, list[str]]:
    """Names of degradations, sorted into the modalities where they occur."""
    return {m: [d.name for d in for_modality(m) if d.name in names] for m in MODALITIES}


def phantom_scene(world: World, modality: Modality, visit: int) -> Scene:
    """A fresh phantom, a subject of its own."""
    name = f"phantom/{world.split}/{modality}/{visit:06d}"
    image = phantoms.draw(modality, world.size, seeded("phantom", world.seed, name))
    return Scene(
        scene_id=name,
        image=image,
        modality=modality,
        anatomy=phantoms.ANATOMY[modality],
        shows=(),
        subject_id=name,
        source="medq_engine.phantoms",
        origin="phantom",
        licence="Apache-2.0",
        split=world.split,
    )


def scene_of(world: World, modality: Modality, visit: int) -> Scene:
    """The scene of the visit-th group of `per_scene` records of a modality."""
    rng = seeded("scene", world.seed, world.split, modality, visit)
    if rng.random() < world.phantoms_in(modality):
        return phantom_scene(world, modality, visit)
    real = world.scenes[modality]
    return real[int(rng.integers(len(real)))]


def make(world: World, index: int) -> Made:
    """The index-th record of a world; modalities take turns."""
    modality = MODALITIES[index % len(MODALITIES)]
    position = index // len(MODALITIES)
    scene = scene_of(world, modality, position // world.per_scene)
    rng = seeded("record", world.seed, world.split, index)
    view = augment(scene.image, modality, rng)
    image, findings = degrade(view, modality, world.plan[modality][position], rng)
    png = to_png(image)
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
    return Made(record, scene.scene_id, scene.anatomy, scene.shows, findings)


def make_all(world: World) -> list[Made]:
    """All records of a world's plan, drawn by all cores, exact duplicates dropped."""
    count = sum(len(findings) for findings in world.plan.values())
    made = map_indices(partial(make, world), count, world.split)
    return list({one.record["image_id"]: one for one in made}.values())


def turns_of(modality: Modality, count: int) -> int:
    """How many of `count` records are of the modality, which take turns."""
    return len(range(MODALITIES.index(modality), count, len(MODALITIES)))


def drawn_plan(
    shares: Mapping[Modality, Mapping[str, float]], compound: float, count: int, *seed: object
) -> Plan:
    """`count` images, the faults of each drawn independently (`simulation.draw_findings`)."""
    return {
        modality: tuple(
            draw_findings(modality, here, compound, seeded("plan", *seed, modality, position))
            for position in range(turns_of(modality, count))
        )
        for modality, here in shares.items()
    }


def covering_plan(names: Mapping[Modality, Sequence[str]], count: int, *seed: object) -> Plan:
    """`count` images that show every fault of a modality at every severity about equally often.

    A third are fine, so that None, Mild and Severe are equally frequent, and of the others
    COMPOUND_SHARE show two or three faults at once, their severities as in PATTERNS. All are
    shuffled.
    """
    plan = {}
    for modality, here in names.items():
        rng = seeded("plan", *seed, modality)
        images = turns_of(modality, count)
        fine = round(images / 3)
        compounds = round(COMPOUND_SHARE * (images - fine))
        cells = [
            (Finding(DEGRADATIONS[n].label, severity),)
            for severity in ("mild", "severe")
            for n in here
        ]
        # Every cell as often as every other, and the rest drawn without repetition, evenly of both
        # severities.
        shown: list[tuple[Finding, ...]] = []
        while len(shown) < images - fine - compounds:
            half = len(here)
            order = np.stack([rng.permutation(half), half + rng.permutation(half)], axis=1).ravel()
            shown += [cells[i] for i in order]
        del shown[images - fine - compounds :]
        known = {DEGRADATIONS[n].label for n in here}
        for pattern in islice(cycle(PATTERNS), compounds):
            faults: list[str] = []
            for _ in pattern:
                beside = [x for x in companions(modality, faults) if x in known]
                if beside:
                    faults.append(str(rng.choice(beside)))
            shown.append(tuple(map(Finding, faults, pattern)))
        shown += [()] * fine
        plan[modality] = tuple(shown[i] for i in rng.permutation(images))
    return plan


def pool_shares(
    names: Mapping[Modality, Sequence[str]], rare: Sequence[str], common: float, rarity: float
) -> dict[Modality, dict[str, float]]:
    """Common faults share `common`, rare ones share `rarity`; the rest of the pool is fine."""
    shares = {}
    for modality, here in names.items():
        seldom = [name for name in here if name in rare]
        often = [name for name in here if name not in rare]
        shares[modality] = {n: rarity / len(seldom) for n in seldom} | {
            n: common / len(often) for n in often
        }
    return shares
