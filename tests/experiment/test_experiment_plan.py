from pathlib import Path

import pytest
from ruamel.yaml import YAML

from medq_engine.experiment import plan
from medq_engine.experiment.grid import Grid, Part, Roles
from medq_engine.experiment.plan import Repository, Step

ROOT = Path(__file__).parents[2]
ROLES = Roles("engine", ("flat",), {}, (), "rare", "rare", 1, None)


@pytest.fixture(scope="module")
def repository() -> Repository:
    return Repository(ROOT)


def grid_of(
    worlds: dict[str, dict], strategies: dict[str, dict], seeds: tuple[int, ...] = (1,)
) -> Grid:
    part = Part(tuple(worlds), tuple(strategies), seeds, 2)
    roles = Roles("engine", ("engine",), {}, (), *(2 * [next(iter(worlds))]), 1, None)
    return Grid(worlds, strategies, {"main": part}, roles)


def steps(repository: Repository, worlds: dict, strategies: dict, **more: object) -> dict:
    found = plan.steps_of(repository, grid_of(worlds, strategies, **more), ["main"])
    return {step.name: step for step in found}


RARE = {"rare": {"pool.rare_share": 0.04}}
ENGINE = {"engine": {}}


def rounds(repository: Repository, worlds: dict = RARE, strategies: dict = ENGINE) -> list[Step]:
    return [s for s in steps(repository, worlds, strategies).values() if s.after]


def test_a_chain_begins_with_the_base_and_every_round_with_the_one_before(
    repository: Repository,
):
    base, first, second = steps(repository, RARE, ENGINE).values()
    assert (base.after, first.after, second.after) == (None, base.name, first.name)
    assert first.base == second.base == base.name
    assert first.cell == {"world": "rare", "strategy": "engine", "seed": 1, "round": 1}
    assert (second.params["round"], second.params["tag"]) == (2, "round-002")
    assert first.params["pool"]["rare_share"] == 0.04
    assert first.params["model"]["threads"] == 1


def test_inputs_follow_the_worlds_seed_and_rounds_the_chains(repository: Repository):
    found = steps(repository, RARE, ENGINE, seeds=(7, 8))
    one, other = found["rare--engine--s7--r1"], found["rare--engine--s8--r1"]
    assert (one.params["seed"], other.params["seed"]) == (7, 8)
    assert one.world["seed"] == other.world["seed"] == repository.params["seed"]
    assert one.inputs == other.inputs
    assert one.key != other.key


def test_worlds_that_differ_in_the_pool_share_the_base(repository: Repository):
    both = steps(repository, {**RARE, "common": {"pool.rare_share": 0.16}}, ENGINE)
    assert sum(step.after is None for step in both.values()) == 1
    one, other = both["rare--engine--s1--r1"], both["common--engine--s1--r1"]
    differ = {name for name in one.inputs if one.inputs[name] != other.inputs[name]}
    assert differ == {"pool", "drafts", "embeddings"}


def test_an_expert_who_errs_otherwise_needs_no_other_pool(repository: Repository):
    worse = rounds(repository, {"rare": RARE["rare"] | {"expert.accuracy": 0.8}})
    same = rounds(repository)
    differ = {n for n in same[0].inputs if same[0].inputs[n] != worse[0].inputs[n]}
    assert differ == {"baselines"}
    assert worse[0].key != same[0].key


def test_a_strategy_may_want_an_encoder_of_its_own(repository: Repository):
    strategies = {"engine": {}, "semantic": {"embeddings.encoder": "vision-tower"}}
    engine, semantic = (s for s in rounds(repository, RARE, strategies) if s.cell["round"] == 1)
    differ = {n for n in engine.inputs if engine.inputs[n] != semantic.inputs[n]}
    assert differ == {"embeddings"}


def test_a_round_is_stale_where_the_one_before_is(repository: Repository):
    first, second = rounds(repository)
    changed = rounds(repository, strategies={"engine": {"retrieve.alpha": 0.25}})
    assert first.parts["params"] != changed[0].parts["params"]
    for name in ("code", "inputs"):
        assert first.parts[name] == changed[0].parts[name]
    assert changed[1].parts["before"] == changed[0].key != second.parts["before"]


def test_params_that_no_cell_reads_change_no_key(repository: Repository, tmp_path: Path):
    root = copy_of(tmp_path, {"base_exam": {"images": 7}, "round": 3, "tag": "round-003"})
    assert [s.key for s in rounds(Repository(root))] == [s.key for s in rounds(repository)]


def copy_of(root: Path, changes: dict[str, object]) -> Path:
    """This repository's params and stages with changes; its code by link."""
    yaml = YAML(typ="safe")
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8")) | changes
    with (root / "params.yaml").open("w", encoding="utf-8") as stream:
        yaml.dump(params, stream)
    (root / "models").mkdir()
    for name in ("dvc.yaml", "data", "models/dvc.yaml", "pipeline", "src"):
        (root / name).symlink_to(ROOT / name)
    return root


def test_threads_of_the_machine_change_no_key(repository: Repository, tmp_path: Path):
    root = copy_of(tmp_path, {"model": {**repository.params["model"], "threads": 16}})
    assert [s.key for s in rounds(Repository(root))] == [s.key for s in rounds(repository)]


def test_every_module_of_the_loop_counts(repository: Repository):
    code = {path for name in plan.recipe.LOOP for path in repository.loop[name].code}
    assert {"src/medq_engine/retrieval.py", "src/medq_engine/training.py"} <= code
    assert all((ROOT / f"src/medq_engine/{name}.py").exists() for name in plan.recipe.BESIDE)
