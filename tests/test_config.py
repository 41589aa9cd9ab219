from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from medq_engine.config import Params, ParamsError, load_params, remote

PARAMS = Path(__file__).parents[1] / "params.yaml"
Load = Callable[[dict[str, object]], Params]


@pytest.fixture
def raw() -> dict[str, object]:
    return YAML(typ="safe", pure=True).load(PARAMS.read_text(encoding="utf-8"))


@pytest.fixture
def load(tmp_path) -> Load:
    """Load changed params from a file, as every stage loads them."""

    def loaded(values: dict[str, object]) -> Params:
        YAML(typ="safe", pure=True).dump(values, tmp_path / "params.yaml")
        return load_params(tmp_path / "params.yaml")

    return loaded


def put(values: dict[str, object], key: str, value: object) -> None:
    """Set a dotted key."""
    *blocks, last = key.split(".")
    for block in blocks:
        values = values[block]
    values[last] = value


def test_the_repositorys_params_are_valid_and_frozen():
    params = load_params(PARAMS)
    assert params.evaluate.gamma == 0.6
    assert params.cluster.anchor == "contrast"
    with pytest.raises(FrozenInstanceError):
        params.seed = 1


@pytest.mark.parametrize("key", ["typo", "route.typo", "base.vision.typo", "images.typo"])
def test_an_unknown_key_is_named(raw, load, key):
    put(raw, key, 1)
    with pytest.raises(ParamsError, match=key):
        load(raw)


@pytest.mark.parametrize("key", ["seed", "evaluate", "route.agreement", "base.words.turns"])
def test_a_missing_key_is_named(raw, load, key):
    *blocks, last = key.split(".")
    values = raw
    for block in blocks:
        values = values[block]
    del values[last]
    with pytest.raises(ParamsError, match=f"{key}: Field required"):
        load(raw)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("round", 0),
        ("evaluate.gamma", 1.2),
        ("evaluate.repeats", 0),
        ("evaluate.temperature", 0),
        ("cluster.k_min", 1),
        ("cluster.anchor", "mean"),
        ("retrieve.threshold", 1.5),
        ("retrieve.alpha", -1),
        ("route.expert_share", 1.1),
        ("route.diminishing", -0.5),
        ("route.gold_share", -0.1),
        ("route.double_share", 1.1),
        ("route.control_share", -0.1),
        ("route.noise_target", 1.1),
        ("route.noise_confidence", 0.5),
        ("route.noise_confidence", 1.0),
        ("route.rule", "entropy"),
        ("annotate_import.gold_floor", 1.1),
        ("costs.person_hour", -1.0),
        ("costs.draft", float("inf")),
        ("costs.model", "free"),
        ("costs.currency", 1),
        ("finetune.replay", 1.0),
        ("finetune.learning_rate", "fast"),
        ("finetune.steps", 2.5),
        ("finetune.steps_at", 0),
        ("quality_gate.confidence", 0.5),
        ("quality_gate.margin", -0.1),
        ("images.size", 50),
        ("images.kind", "hospital"),
        ("model.dtype", "int8"),
        ("model.quantize", "8bit"),
        ("model.answer_format", "prose"),
        ("model.option_orders", 0),
        ("model.two_images", 1),
        ("evaluate.description_repeats", 0),
        ("finetune.adapt", ["tower"]),
        ("finetune.train_whole", "connector"),
        ("finetune.gradient_checkpointing", "no"),
        ("finetune.images_per_pass", 0),
        ("drafts.accuracy.what", 2.0),
        ("drafts.accuracy.why", 0.5),
        ("benchmark.records.train", 10),
        ("seed", None),
        ("finetune.steps", "500"),
        ("finetune.steps", True),
        ("finetune.learning_rate", float("inf")),
        ("finetune.learning_rate", float("nan")),
        ("finetune.learning_rate", "0.001"),
        ("finetune.weight_decay", float("inf")),
        ("retrieve.alpha", float("inf")),
        ("route.expert_share", True),
        ("route.agreement", float("nan")),
        ("round", True),
    ],
)
def test_a_value_out_of_range_is_named(raw, load, key, value):
    put(raw, key, value)
    with pytest.raises(ParamsError, match=key):
        load(raw)


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ("drafts.accuracy", "how"),
        ("benchmark.records", "test"),
        ("finetune.route_weight", "draft"),
    ],
)
def test_a_mapping_must_name_every_value(raw, load, block, key):
    outer, inner = block.split(".")
    del raw[outer][inner][key]
    with pytest.raises(ParamsError, match=rf"{block}: .*missing: {key}$"):
        load(raw)


def test_the_mix_of_the_pool_is_no_more_than_all_of_it(raw, load):
    raw["pool"] |= {"common_share": 0.75, "rare_share": 0.5}
    with pytest.raises(ParamsError, match=r"pool: .*common_share and rare_share"):
        load(raw)
    raw["pool"]["rare_share"] = 0.25
    assert load(raw).pool.rare_share == 0.25


def test_checks_take_no_more_than_all_of_the_experts_time(raw, load):
    shares = {"audit_share": 0.5, "gold_share": 0.25, "double_share": 0.125}
    raw["route"] |= shares | {"control_share": 0.25}
    names = "audit_share, gold_share, double_share and control_share"
    with pytest.raises(ParamsError, match=rf"route: .*{names}"):
        load(raw)
    raw["route"]["control_share"] = 0.125
    assert load(raw).route.control_share == 0.125


def test_a_share_may_be_written_as_a_whole_number(raw, load):
    put(raw, "route.expert_share", 1)
    assert load(raw).route.expert_share == 1.0


def test_every_fault_is_told_at_once(raw, load):
    put(raw, "evaluate.gamma", 2)
    put(raw, "route.agreement", 2)
    with pytest.raises(ParamsError, match="has 2 faults") as error:
        load(raw)
    assert "evaluate.gamma" in str(error.value)
    assert "route.agreement" in str(error.value)


def test_a_tag_must_be_that_of_the_round(raw, load):
    put(raw, "round", 12)
    with pytest.raises(ParamsError, match="round 12 needs 'round-012'"):
        load(raw)
    put(raw, "tag", "round-012")
    assert load(raw).tag == "round-012"


def test_the_range_of_clusters_must_not_be_empty(raw, load):
    put(raw, "cluster.k_max", raw["cluster"]["k_min"] - 1)
    with pytest.raises(ParamsError, match=r"cluster: .*k_max"):
        load(raw)


def test_a_fault_must_exist_and_be_either_taught_or_rare(raw, load):
    raw["faults"]["taught"].append("fingerprint")
    with pytest.raises(ParamsError, match=r"faults: .*no such degradation: fingerprint"):
        load(raw)
    raw["faults"]["taught"][-1] = raw["faults"]["rare"][0]
    with pytest.raises(ParamsError, match=r"faults: .*both taught and rare"):
        load(raw)


def test_an_incumbent_is_named_by_round_commit_and_md5(raw, load):
    put(raw, "incumbent", {"round": 1, "rev": "abc", "md5": "def"})
    assert load(raw).incumbent.rev == "abc"
    del raw["incumbent"]["md5"]
    with pytest.raises(ParamsError, match=r"incumbent\.md5"):
        load(raw)


@pytest.fixture
def server() -> dict[str, object]:
    """An endpoint's block."""
    return {
        "url": "http://localhost:8000/v1",
        "model": "m",
        "key": "MEDQ_KEY",
        "concurrency": 4,
        "timeout": 60.0,
        "retries": 3,
        "max_requests": 1000,
        "max_cost": 5.0,
        "price_input": 0.0,
        "price_output": 0.0,
    }


@pytest.mark.parametrize("key", ["model.id", "drafts.endpoint", "judge.endpoint"])
def test_an_endpoint_is_named_where_it_is_used(raw, load, server, key):
    put(raw, key, "endpoint:lab" if key == "model.id" else "lab")
    with pytest.raises(ParamsError, match=f"{key} names 'lab', which is none of endpoints"):
        load(raw)
    raw["endpoints"] = {"lab": server}
    params = load(raw)
    assert params.endpoints["lab"].key == "MEDQ_KEY"
    assert remote(params.model) == (key == "model.id")


@pytest.mark.parametrize(
    ("key", "value"),
    [("concurrency", 0), ("timeout", 0), ("retries", -1), ("max_cost", -1), ("price_input", -0.1)],
)
def test_a_limit_of_an_endpoint_out_of_range_is_named(raw, load, server, key, value):
    raw["endpoints"] = {"lab": server | {key: value}}
    with pytest.raises(ParamsError, match=rf"endpoints\.lab\.{key}"):
        load(raw)


@pytest.mark.parametrize("text", ["round: [1\n", "- 1\n", ""])
def test_a_file_that_holds_no_params_is_named(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        load_params(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ParamsError, match=r"none\.yaml"):
        load_params(tmp_path / "none.yaml")


def test_an_endpoint_takes_no_adapter_and_shows_no_tower(raw, load, server):
    raw["endpoints"] = {"lab": server}
    raw["model"]["id"] = "endpoint:lab"
    load(raw)
    with pytest.raises(ParamsError, match="vision-tower needs weights"):
        load(raw | {"embeddings": raw["embeddings"] | {"encoder": "vision-tower"}})
    incumbent = {"round": 1, "rev": "abc", "md5": "def"}
    with pytest.raises(ParamsError, match="takes no adapter"):
        load(raw | {"incumbent": incumbent})
