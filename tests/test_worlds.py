from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from medq_engine.degradations import DEGRADATIONS, for_modality
from medq_engine.language import unlike, verdict_of, worst
from medq_engine.simulation import content_id, from_png, to_png
from medq_engine.slices import Scene
from medq_engine.tables import RECORD, SCENE, table
from medq_engine.vocabulary import MODALITIES
from medq_engine.worlds import (
    World,
    covering_plan,
    drawn_plan,
    make,
    make_all,
    names_by_modality,
    pool_shares,
    scenes_of,
)

SIZE = 48
NAMES = names_by_modality(list(DEGRADATIONS))


def real_scene(split: str, number: int) -> Scene:
    image = np.random.default_rng(number).random((SIZE, SIZE)).astype(np.float32)
    name = f"atlas-{number}"
    return Scene(
        f"{name}/view000", image, "mri", "brain", ("blur",), name, "atlas", "clinical", "CC0", split
    )


def scene_row(scene: Scene) -> dict[str, object]:
    png = to_png(scene.image)
    row = {name: value for name, value in vars(scene).items() if name != "image"}
    image = {"bytes": png, "path": "x.png"}
    return {**row, "image_id": content_id(png), "image": image, "width": SIZE, "height": SIZE}


@pytest.fixture
def world() -> World:
    return World(
        split="dev",
        size=SIZE,
        scenes={"mri": [real_scene("dev", 1), real_scene("dev", 2)]},
        phantom_share=0.0,
        fill_below=2,
        plan=covering_plan(NAMES, 60, 1, "dev"),
        per_scene=1,
        seed=1,
    )


def test_a_record_depends_on_its_index_and_not_on_the_order_of_work(world):
    forward = [make(world, index) for index in range(5)]
    backward = [make(world, index) for index in reversed(range(5))]
    assert forward == backward[::-1]


def test_many_processes_draw_the_same_records(world):
    few = replace(world, plan={m: plan[:1] for m, plan in world.plan.items()})
    assert make_all(few) == [make(few, index) for index in range(5)]


@pytest.mark.parametrize("change", [{"seed": 2}, {"split": "gate"}])
def test_seed_and_split_change_every_record(world, change):
    other = replace(world, **change)
    for index in range(5):
        assert make(world, index).record["image_id"] != make(other, index).record["image_id"]


def test_records_keep_the_contract_and_modalities_take_turns(world):
    made = [make(world, index) for index in range(5)]
    records = table((one.record for one in made), RECORD)
    assert records["modality"].to_list() == list(MODALITIES)
    for row in records.iter_rows(named=True):
        assert row["image_id"] == content_id(row["image"]["bytes"])
        assert from_png(row["image"]["bytes"]).size == (row["width"], row["height"])
    # Truth travels apart from the record.
    assert not {"findings", "severity", "scene_id"} & set(made[0].record)


def test_real_scenes_are_used_where_there_are_enough_and_phantoms_where_there_are_none(world):
    made = [make(world, index) for index in range(10)]
    origins = {m: {o.record["origin"] for o in made if o.record["modality"] == m} for m in NAMES}
    assert origins["mri"] == {"clinical"}
    assert all(origins[m] == {"phantom"} for m in MODALITIES if m != "mri")


@pytest.mark.parametrize(
    ("phantom_share", "fill_below", "expected"),
    [(0.0, 2, 0.0), (0.5, 2, 0.5), (0.0, 8, 0.75), (0.9, 8, 0.9)],
)
def test_phantoms_fill_what_real_scenes_are_missing(world, phantom_share, fill_below, expected):
    here = replace(world, phantom_share=phantom_share, fill_below=fill_below)
    assert here.phantoms_in("mri") == pytest.approx(expected)
    assert here.phantoms_in("ct") == 1


def test_every_phantom_is_a_subject_of_its_own(world):
    made = [make(world, index) for index in (1, 6, 11)]
    assert len({one.record["subject_id"] for one in made}) == 3


def test_exact_duplicates_are_dropped(world):
    # One scene without any fault has few views: shifts of up to 3 px, mirrored or not.
    flat = replace(real_scene("dev", 1), image=np.full((SIZE, SIZE), 0.5, np.float32))
    fine = {m: ((),) * 4 for m in NAMES}
    made = make_all(replace(world, scenes={"mri": [flat]}, fill_below=1, plan=fine))
    assert len(made) == 20 - 3  # the flat scene occurs four times and is kept once
    assert len({one.record["image_id"] for one in made}) == len(made)


def test_no_subject_stands_in_two_splits(world):
    scenes = [real_scene("dev", 1), real_scene("gate", 2), real_scene("test", 3)]
    rows = table((scene_row(scene) for scene in scenes), SCENE)
    subjects = {}
    for split in ("dev", "gate", "test"):
        here = replace(world, split=split, scenes=scenes_of(rows, split), fill_below=1)
        subjects[split] = {make(here, index).record["subject_id"] for index in range(10)}
    assert subjects["dev"] >= {"atlas-1"}
    assert not subjects["dev"] & subjects["gate"]
    assert not subjects["dev"] & subjects["test"]
    assert not subjects["gate"] & subjects["test"]


def test_scenes_come_back_from_their_table_as_they_were():
    scene = real_scene("dev", 1)
    table_of_one = table([scene_row(scene)], SCENE)
    (back,) = scenes_of(table_of_one, "dev")["mri"]
    assert np.abs(back.image - scene.image).max() <= 0.5 / 255 + 1e-6
    same = [name for name in vars(scene) if name != "image"]
    assert [getattr(back, name) for name in same] == [getattr(scene, name) for name in same]
    assert scenes_of(table_of_one.filter(pl.lit(False)), "dev") == {}


def test_records_of_one_visit_show_one_scene(world):
    pairs = replace(world, per_scene=2)
    scenes = [make(pairs, index).scene_id for index in range(1, 20, 5)]
    assert scenes[0] == scenes[1] != scenes[2] == scenes[3]


def test_a_record_shows_what_the_plan_says_and_where(world):
    for index in range(30):
        made = make(world, index)
        planned = world.plan[made.record["modality"]][index // 5]
        assert sorted(f.label for f in made.findings) == sorted(f.label for f in planned)
        assert all(finding.place for finding in made.findings)


@pytest.fixture(scope="module")
def plan():
    return covering_plan(NAMES, 1200, 1, "test")


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_covering_plan_has_every_fault_at_every_severity_equally_often(plan, modality):
    singles = Counter(
        (found[0].label, found[0].severity) for found in plan[modality] if len(found) == 1
    )
    labels = [degradation.label for degradation in for_modality(modality)]
    assert set(singles) == {(label, s) for label in labels for s in ("mild", "severe")}
    assert max(singles.values()) - min(singles.values()) <= 1


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_covering_plan_balances_severities_and_verdicts(plan, modality):
    for grade in (worst, verdict_of):
        shares = Counter(grade(found) for found in plan[modality])
        assert len(shares) == 3
        assert max(shares.values()) / 240 - 1 / 3 < 0.03


def test_a_covering_plan_has_compounds_of_faults_that_look_unlike(plan):
    for modality, shown in plan.items():
        compounds = [found for found in shown if len(found) > 1]
        assert len(compounds) == round(0.15 * 160)
        assert {len(found) for found in compounds} == {2, 3}
        for found in compounds:
            labels = [finding.label for finding in found]
            for i, label in enumerate(labels):
                assert label in unlike(modality, labels[:i])


def test_a_small_covering_plan_still_has_every_cell():
    plan = covering_plan(NAMES, 400, 1, "dev")
    for modality, shown in plan.items():
        cells = {(f[0].label, f[0].severity) for f in shown if len(f) == 1}
        assert len(cells) == 2 * len(for_modality(modality))


def test_plans_are_seeded():
    shares = pool_shares(NAMES, ["aliasing"], 0.4, 0.1)
    for make_plan in (
        lambda seed: covering_plan(NAMES, 100, seed),
        lambda seed: drawn_plan(shares, 0.1, 100, seed),
    ):
        assert make_plan(1) == make_plan(1) != make_plan(2)


def test_a_drawn_plan_is_as_long_as_the_turns_of_each_modality():
    plan = drawn_plan(pool_shares(NAMES, [], 0.4, 0.0), 0.0, 13, 1)
    assert [len(plan[m]) for m in MODALITIES] == [3, 3, 3, 2, 2]


def test_pool_shares_keep_rare_faults_rare():
    shares = pool_shares(NAMES, ["aliasing", "spike-noise"], common=0.4, rarity=0.06)
    assert shares["mri"]["aliasing"] == shares["mri"]["spike-noise"] == pytest.approx(0.03)
    assert sum(shares["mri"].values()) == pytest.approx(0.46)
    # A modality without rare faults gives their mass to fine images, not to common faults.
    assert sum(shares["ct"].values()) == pytest.approx(0.4)
