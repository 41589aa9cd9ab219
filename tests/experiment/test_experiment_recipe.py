from pathlib import Path

import pytest

from medq_engine.experiment import recipe
from medq_engine.experiment.recipe import RecipeError, Stage

CODE = '''"""A module."""
def double(x):
    """Twice x."""
    return 2 * x  # as said
'''


def module(folder: Path, text: str) -> Path:
    path = folder / "module.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_comments_docstrings_and_layout_do_not_count(tmp_path: Path):
    before = recipe.content(module(tmp_path, CODE))
    plain = "def double(x):\n\n    return (2 * x)\n"
    assert recipe.content(module(tmp_path, plain)) == before


@pytest.mark.parametrize("change", [("2 * x", "3 * x"), ("double", "twice"), ("(x)", "(x=1)")])
def test_what_the_code_does_counts(tmp_path: Path, change: tuple[str, str]):
    before = recipe.content(module(tmp_path, CODE))
    assert recipe.content(module(tmp_path, CODE.replace(*change))) != before


def test_texts_that_code_uses_count(tmp_path: Path):
    before = recipe.content(module(tmp_path, 'NAME = "a"\n'))
    assert recipe.content(module(tmp_path, 'NAME = "b"\n')) != before


def test_data_beside_code_counts_byte_by_byte_and_drawing_does_not_count(tmp_path: Path):
    folder = tmp_path / "src"
    (folder / "__pycache__").mkdir(parents=True)
    for name in ("strengths.json", "figures.py", "a.py", "__pycache__/a.pyc"):
        (folder / name).write_text("1\n", encoding="utf-8")
    found = recipe.Code(tmp_path).of(["src"])
    assert list(found) == ["src/a.py", "src/strengths.json"]
    (folder / "strengths.json").write_text("1 \n", encoding="utf-8")
    after = recipe.Code(tmp_path).of(["src"])
    assert {path for path in found if after[path] != found[path]} == {"src/strengths.json"}


def stage(name: str, deps: list[str], params: list[str]) -> Stage:
    return Stage(name, f"pipeline.{name}", (), tuple(deps), (f"data/{name}",), tuple(params))


STAGES = {
    s.name: s
    for s in (
        stage("embeddings", ["data/pool"], ["model"]),
        stage("pool", ["data/images"], ["pool.share"]),
        stage("images", ["data/sources.toml"], ["size"]),
        stage("exam", ["data/pool"], []),
    )
}
PARAMS = {"size": 96, "pool": {"share": 0.1, "images": 5}, "model": {"id": "nano", "threads": 2}}
TRACKED = {"data/sources.toml": "abc"}


def keys(params: dict, tracked: dict = TRACKED) -> dict[str, str]:
    wanted = recipe.needed(STAGES, ["data/embeddings"])
    return recipe.input_keys(wanted, params, dict.fromkeys(STAGES, "code"), tracked)


def test_needed_stages_come_after_those_that_they_need_and_no_others():
    found = recipe.needed(STAGES, ["data/embeddings", "data/pool"])
    assert [s.name for s in found] == ["images", "pool", "embeddings"]


def test_data_that_no_stage_makes_is_named():
    with pytest.raises(RecipeError, match="makes data/labels"):
        recipe.needed(STAGES, ["data/labels"])


def changed(after: dict[str, str]) -> set[str]:
    before = keys(PARAMS)
    return {name for name in before if before[name] != after[name]}


def test_a_param_changes_its_stage_and_what_follows_from_it():
    assert changed(keys({**PARAMS, "pool": {"share": 0.2, "images": 5}})) == {"pool", "embeddings"}
    assert changed(keys({**PARAMS, "pool": {"share": 0.1, "images": 9}})) == set()


def test_threads_change_nothing_and_the_rest_of_a_block_does():
    assert changed(keys({**PARAMS, "model": {"id": "nano", "threads": 8}})) == set()
    assert changed(keys({**PARAMS, "model": {"id": "other", "threads": 2}})) == {"embeddings"}


def test_tracked_data_changes_everything_behind_it():
    assert changed(keys(PARAMS, {"data/sources.toml": "abd"})) == {"images", "pool", "embeddings"}


def test_the_code_of_a_stage_changes_it():
    wanted = recipe.needed(STAGES, ["data/embeddings"])
    code = dict.fromkeys(STAGES, "code") | {"embeddings": "other"}
    assert changed(recipe.input_keys(wanted, PARAMS, code, TRACKED)) == {"embeddings"}


def test_the_repositorys_stages_are_read_with_code_data_and_params_apart():
    root = Path(__file__).parents[2]
    pool = recipe.read_stages(root / "data/dvc.yaml")["pool"]
    assert pool.module == "pipeline.pool"
    assert "pipeline/pool.py" in pool.code
    assert pool.deps == ("data/images",)
    assert set(pool.outs) == {"data/pool", "data/oracle"}
    assert "pool" in pool.params
    baselines = recipe.read_stages(root / "data/dvc.yaml")["baselines"]
    assert baselines.outs == ("metrics/baselines.json",)
