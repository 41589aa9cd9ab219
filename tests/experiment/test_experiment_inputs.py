from pathlib import Path

import pytest

from medq_engine.experiment import inputs
from medq_engine.experiment.recipe import RecipeError, Stage

STAGES = [
    Stage("pool", "pipeline.pool", (), ("data/sources.toml",), ("data/pool", "data/oracle"), ()),
    Stage("embeddings", "pipeline.embeddings", (), ("data/pool",), ("data/embeddings",), ()),
]
OWN = {"pool": "p1", "embeddings": "e1"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with its own inputs."""
    for name in ("sources.toml", "pool", "oracle", "embeddings"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_text(f"own {name}", encoding="utf-8")
    return tmp_path


class Maker:
    """Stands in for stages: writes what it read into what it makes."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def __call__(self, stage: Stage, folder: Path) -> None:
        self.ran.append(stage.name)
        read = "+".join((folder / dep).read_text(encoding="utf-8") for dep in stage.deps)
        share = (folder / "params.yaml").read_text(encoding="utf-8").strip()
        for out in stage.outs:
            (folder / out).parent.mkdir(parents=True, exist_ok=True)
            (folder / out).write_text(f"{out} of {read}, {share}", encoding="utf-8")


def prepare(root: Path, keys: dict[str, str], make: Maker) -> inputs.Places:
    scratch = root / "scratch"
    return inputs.prepare(root, scratch, STAGES, OWN, keys, {"share": 0.1}, make)


def test_what_no_override_touches_is_the_repositorys(root: Path):
    make = Maker()
    places = prepare(root, OWN, make)
    assert places["data/pool"] == root / "data/pool"
    assert make.ran == []


def test_what_an_override_touches_is_made_once_from_its_own_inputs(root: Path):
    make = Maker()
    places = prepare(root, {"pool": "p2", "embeddings": "e2"}, make)
    assert places["data/embeddings"].read_text(encoding="utf-8") == (
        "data/embeddings of data/pool of own sources.toml, share: 0.1, share: 0.1"
    )
    assert (root / "data/pool").read_text(encoding="utf-8") == "own pool"
    assert prepare(root, {"pool": "p2", "embeddings": "e2"}, make) == places
    assert make.ran == ["pool", "embeddings"]


def test_a_later_stage_alone_reads_the_repositorys_data(root: Path):
    make = Maker()
    places = prepare(root, {"pool": "p1", "embeddings": "e2"}, make)
    assert make.ran == ["embeddings"]
    assert "own pool" in places["data/embeddings"].read_text(encoding="utf-8")


def test_a_stage_that_was_killed_is_run_again_in_its_folder(root: Path):
    class Killed(Maker):
        def __call__(self, stage: Stage, folder: Path) -> None:
            (folder / "begun").touch()
            raise KeyboardInterrupt

    keys = {"pool": "p2", "embeddings": "e1"}
    with pytest.raises(KeyboardInterrupt):
        prepare(root, keys, Killed())
    places = prepare(root, keys, Maker())
    assert (places["data/pool"].parents[1] / "begun").exists()


def test_an_input_that_the_repository_lacks_is_named_with_what_makes_it(root: Path):
    (root / "data/oracle").unlink()
    with pytest.raises(RecipeError, match=r"data/oracle is missing: `dvc repro data/oracle`"):
        prepare(root, OWN, Maker())
