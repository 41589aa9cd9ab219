"""A round in miniature with every model family: evaluate, route, finetune, reload, gate.

Each family answers with a tiny random checkpoint of its real class and its real processor, half of
them by letter and half in words, and learns what a handful of phantoms show.
"""

from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from medq_engine import adapter, benchmark, evaluation, gate, lessons, routing, training, worlds
from medq_engine.config import QualityGate, RouteParams
from medq_engine.descriptions import describe
from medq_engine.evidence import Said, known_tasks, to_ask
from medq_engine.language import answer
from medq_engine.models import mllm
from medq_engine.models.families import FAMILIES
from medq_engine.models.local_model import LocalModel
from medq_engine.models.mllm import Mllm
from medq_engine.noise import Tally
from medq_engine.questions import Query
from medq_engine.simulation import seeded
from medq_engine.tables import (
    CANDIDATE,
    ITEM,
    LABEL,
    PREDICTION,
    PROTOTYPE,
    RECORD,
    TASK,
    TRAINING,
    Images,
    table,
    write,
)
from tests.tiny_models import build

SEED = 1
RECORDS = 10
FAULTS = ("blur", "defocus", "gaussian-noise", "low-contrast", "metal-streak")
FORMS = dict(zip(sorted(FAMILIES), cycle(("letter", "text")), strict=False))
# Families whose processor makes more tokens of one image than of another.
TILED = ("idefics3", "smolvlm", "llava_onevision", "internvl", "qwen2_5_vl", "qwen3_vl")
ASKING = {
    "repeats": 5,
    "gamma": 0.6,
    "temperature": 1.0,
    "description_repeats": 1,
    "two_images": True,
    "seed": SEED,
}
ROUTING = RouteParams(
    rule="paper",
    noise_target=0.02,
    noise_confidence=0.9,
    entropy_quantile=0.8,
    agreement=0.5,
    expert_share=0.5,
    diminishing=0.5,
    audit_share=0.0,
    gold_share=0.0,
    double_share=0.0,
    control_share=0.0,
)
SCHEDULE = training.Schedule(
    steps=12, batch=4, images_per_pass=2, turns=2, learning_rate=0.03, weight_decay=0.0, seed=SEED
)


@dataclass(frozen=True)
class Phantoms:
    """Degraded phantoms with their truth, as the benchmark and the pool would hold them."""

    made: list[worlds.Made]
    images: Images
    items: pl.DataFrame


@dataclass(frozen=True)
class Played:
    """What a round left: a model, and what came out of each stage."""

    base: Mllm
    trained: Mllm
    reloaded: Mllm
    before: pl.DataFrame
    after: pl.DataFrame
    tasks: pl.DataFrame
    losses: tuple[float, float]
    changed: set[str]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Phantoms:
    plan = worlds.covering_plan(worlds.names_by_modality(FAULTS), RECORDS, SEED)
    world = worlds.World(
        "dev", 48, {}, phantom_share=1.0, fill_below=8, plan=plan, per_scene=2, seed=SEED
    )
    made = [worlds.make(world, index) for index in range(RECORDS)]
    path = tmp_path_factory.mktemp("phantoms") / "records.parquet"
    write(table([one.record for one in made], RECORD), path, RECORD)
    items = table(benchmark.items_of(made, "dev", SEED), ITEM)
    assert set(items["task"]) == {"perception", "description", "comparison"}
    return Phantoms(made, Images(path), items)


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def checkpoint(request, tmp_path_factory) -> Path:
    return build(request.param, tmp_path_factory.mktemp(request.param) / request.param)


def asked(model: Mllm) -> LocalModel:
    return LocalModel(model, images_per_batch=4, option_orders=2, max_new_tokens=6, seed=SEED)


def routed(model: Mllm, phantoms: Phantoms) -> pl.DataFrame:
    """Tasks about every phantom, with drafts that name every option in turn."""
    about = dict.fromkeys(("name", "severity", "anchor_item"), "") | {"mass": 1.0}
    kinds = ("yes-no", "what", "how")
    prototypes = [
        {"prototype_id": kind, "question_type": kind, "modality": "mri", "attribute": "blur"}
        | about
        for kind in kinds
    ]
    candidates = [
        {
            "image_id": one.record["image_id"],
            "prototype_id": kind,
            "arm": "prototype",
            "cosine": 1.0,
        }
        for one, kind in zip(phantoms.made, cycle(kinds), strict=False)
    ]
    tasks = routing.tasks_of(
        table(candidates, CANDIDATE), table(prototypes, PROTOTYPE), phantoms.images.modality, 1
    )
    known = known_tasks(phantoms.items, set(kinds))
    rows = to_ask([*tasks, *known])
    scored = asked(model).score(phantoms.images, [routing.query_of(row) for row in rows])
    keys = [(row["image_id"], row["question"]) for row in rows]
    drafts = [row["options"][n % len(row["options"])] for n, row in enumerate(rows)]
    said = Said(dict(zip(keys, scored, strict=True)), dict(zip(keys, drafts, strict=True)))
    rng = seeded("route", SEED)
    return table(routing.route(tasks, known, said, {}, ROUTING, Tally(), rng).rows, TASK)


def taught(tasks: pl.DataFrame, phantoms: Phantoms) -> list[training.Sample]:
    """What an expert's readings of the tasks' images teach."""
    reader = {"annotator": "reader", "seconds": 1.0, "route": "expert"}
    truth = {one.record["image_id"]: one.findings for one in phantoms.made}
    labels = [
        {name: task[name] for name in LABEL if name in task}
        | reader
        | {
            "answer": answer(task["question_type"], truth[task["image_id"]], task["attribute"]),
            "description": describe(task["modality"], truth[task["image_id"]]),
        }
        for task in tasks.iter_rows(named=True)
    ]
    rows = lessons.training_rows(table(labels, LABEL), phantoms.images, SEED)
    return [s for (s,) in lessons.samples_of(table(rows, TRAINING), 1.0, 1, SEED)]


def loss_of(model: Mllm, samples: list[training.Sample]) -> float:
    """Nats per answer token over all that is taught."""
    encoded = [training.encode(model, sample) for sample in samples]
    with torch.inference_mode():
        return float(training.AnswerLoss(model)(encoded)) / training.tokens_of(encoded)


def weights(model: Mllm) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.model.named_parameters()}


@pytest.fixture(scope="module")
def played(checkpoint, phantoms, tmp_path_factory) -> Played:
    form = FORMS[checkpoint.name]
    folder = tmp_path_factory.mktemp("round")
    base = mllm.load(checkpoint, answer_format=form)
    before = evaluation.predict(asked(base), phantoms.images, phantoms.items, **ASKING)
    tasks = routed(base, phantoms)
    samples = taught(tasks, phantoms)

    fresh = mllm.load(checkpoint, answer_format=form)
    model = adapter.attach(fresh, 4, 8, ["vision", "language"], ["connector"], SEED)
    first, start = loss_of(model, samples), weights(model)
    done = training.train(model, samples, SCHEDULE, folder / "run.pt")
    changed = {name for name, p in weights(model).items() if not torch.equal(p, start[name])}
    adapter.save(model, folder / "adapter", done.weights)

    reloaded = mllm.load(checkpoint, folder / "adapter", answer_format=form)
    after = evaluation.predict(asked(reloaded), phantoms.images, phantoms.items, **ASKING)
    losses = (first, loss_of(model, samples))
    return Played(base, model, reloaded, before, after, tasks, losses, changed)


def test_every_item_is_answered(played, phantoms):
    found = phantoms.items.join(played.before, on="item_id", suffix="_given")
    assert dict(played.before.schema) == PREDICTION
    assert found["item_id"].to_list() == phantoms.items["item_id"].to_list()
    for row in found.iter_rows(named=True):
        if row["task"] == "description":
            assert row["nll"] > 0
            assert row["text"] is not None
            continue
        assert sum(row["probabilities"]) == pytest.approx(1)
        assert 0 <= row["probability_of_truth"] <= 1
    closed = found.filter(pl.col("task") == "perception")
    assert closed["nll"].min() > 0
    # The model looks: one question about many images has many answers.
    assert closed.group_by("question").agg(pl.col("nll").std())["nll"].max() > 1e-3


def test_two_images_are_compared_in_one_prompt_and_in_their_order(played, phantoms):
    pair = phantoms.items.filter(pl.col("task") == "comparison")["image_ids"][0].to_list()
    options = ("first image", "second image")
    queries = [Query(tuple(ids), "Which is better?", options) for ids in (pair, pair[::-1])]
    there, back = asked(played.base).score(phantoms.images, queries)
    assert np.abs(there.nll - back.nll).max() > 1e-2


def test_tasks_take_routes(played):
    assert {"draft", "expert"} <= set(played.tasks["route"])
    assert (played.tasks["route"] == "expert").sum() <= ROUTING.expert_share * RECORDS
    assert played.tasks["entropy"].min() > 0


def test_finetuning_learns_what_it_is_taught_and_changes_the_named_parts_alone(played):
    before, after = played.losses
    assert after < 0.75 * before
    family = played.trained.family
    inside = {"vision": f"model.{family.tower}.", "connector": "modules_to_save"}
    assert all("lora_" in name or "modules_to_save" in name for name in played.changed)
    for part in inside.values():
        assert any(part in name for name in played.changed), part
    assert any("lora_" in name and inside["vision"] not in name for name in played.changed)


def test_the_adapter_brings_the_trained_model_back(played, phantoms):
    queries = [
        evaluation.query_of(item)
        for item in phantoms.items.filter(pl.col("task") == "perception").to_dicts()
    ]
    base, trained, again = (
        np.concatenate([s.probabilities for s in asked(model).score(phantoms.images, queries)])
        for model in (played.base, played.trained, played.reloaded)
    )
    assert again == pytest.approx(trained, abs=1e-5)
    assert np.abs(again - base).max() > 1e-2


def test_the_gate_holds_before_against_after(played, phantoms):
    items = {"gate": phantoms.items, "test": phantoms.items}
    predictions = {
        (role, split): found
        for split in items
        for role, found in (
            ("base", played.before),
            ("incumbent", played.before),
            ("challenger", played.after),
        )
    }
    metrics = gate.hold(items, predictions, QualityGate(100, 0.95, 0.05), SEED)
    assert metrics["verdict"] in ("pass", "fail", "inconclusive")
    closed = phantoms.items.filter(pl.col("task") == "perception").select("item_id")
    assert metrics["gate"]["overall"]["items"] == len(closed)
    for role, found in (("incumbent", played.before), ("challenger", played.after)):
        right = found.join(closed, on="item_id", how="semi")["correct"]
        assert metrics["gate"]["overall"][role] == pytest.approx(right.mean())


@pytest.mark.parametrize("name", TILED)
def test_an_image_is_judged_alike_beside_one_of_another_number_of_tiles(name, tmp_path):
    model = mllm.load(build(name, tmp_path), answer_format=FORMS[name])
    rng = np.random.default_rng(0)
    shapes = {"square": (48, 48), "small": (20, 20), "tall": (96, 48), "wide": (48, 96)}
    images = {
        key: Image.fromarray(rng.integers(0, 255, (*shape, 3), dtype=np.uint8))
        for key, shape in shapes.items()
    }
    assert len({len(mllm.show(model.processor, [image]).ids) for image in images.values()}) > 1
    queries = [Query((key,), "Is there blur?", ("Yes", "No")) for key in images]
    queries += [
        Query(pair, "Which?", ("A", "B")) for pair in (("square", "tall"), ("wide", "small"))
    ]
    together = asked(model).score(images, queries)
    for query, found in zip(queries, together, strict=True):
        (alone,) = asked(model).score(images, [query])
        assert found.probabilities == pytest.approx(alone.probabilities, abs=1e-4)
        assert found.nll == pytest.approx(alone.nll, abs=1e-3)
