import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from medq_engine import rounds, tables
from medq_engine.experiment import workspace
from medq_engine.experiment.workspace import LABELS

Row = Callable[..., dict[str, object]]


@pytest.fixture
def places(tmp_path: Path, item_row: Row) -> dict[str, Path]:
    """Where a world's inputs lie: a pool, and a dev with a question and a description."""
    dev = tmp_path / "inputs/dev"
    items = [item_row("q"), item_row("d", task="description")]
    tables.write(tables.table(items, tables.ITEM), dev / "items.parquet", tables.ITEM)
    (dev / "records.parquet").write_text("records", encoding="utf-8")
    (tmp_path / "inputs/pool").mkdir()
    return {"data/benchmark/dev": dev, "data/pool": tmp_path / "inputs/pool"}


def answers(answer: str) -> dict[str, pl.DataFrame]:
    row = {"item_id": "q", "answer": answer, "correct": True}
    row |= dict.fromkeys(tables.PREDICTION.keys() - row.keys())
    return {split: tables.table([row], tables.PREDICTION) for split in workspace.SPLITS}


@pytest.fixture
def finished(tmp_path: Path, places: dict[str, Path], label_row: Row) -> Path:
    """The working folder of a round that has run."""
    folder = tmp_path / "chain"
    workspace.build(folder, places, {"round": 1})
    labels = tables.table([label_row("t1")], tables.LABEL)
    tables.write(labels, folder / "data/round/labels.parquet", tables.LABEL)
    (folder / "models/challenger").mkdir(parents=True)
    (folder / "models/challenger/adapter").write_text("challenger", encoding="utf-8")
    (folder / "metrics").mkdir()
    (folder / "metrics/annotate_import.json").write_text("imported", encoding="utf-8")
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """What the base left."""
    workspace.leave_base(tmp_path / "base", "key-0", answers("base"))
    return tmp_path / "base"


def test_a_working_folder_has_the_inputs_and_of_dev_the_questions(
    tmp_path: Path, places: dict[str, Path]
):
    folder = tmp_path / "chain"
    workspace.build(folder, places, {"round": 1})
    assert (folder / "data/pool").resolve() == places["data/pool"]
    items = tables.read(folder / "data/benchmark/dev/items.parquet", tables.ITEM)
    assert items["item_id"].to_list() == ["q"]
    assert (folder / "data/benchmark/dev/records.parquet").read_text() == "records"
    assert (folder / "params.yaml").read_text().strip() == "round: 1"
    assert len(tables.read(places["data/benchmark/dev"] / "items.parquet", tables.ITEM)) == 2


def test_a_killed_rounds_leavings_go_and_its_checkpoint_stays(
    finished: Path, places: dict[str, Path]
):
    (finished / ".work/finetune").mkdir(parents=True)
    (finished / ".work/finetune/a.pt").touch()
    workspace.build(finished, places, {"round": 1})
    assert not (finished / "data/round").exists()
    assert not (finished / "models/challenger").exists()
    assert (finished / ".work/finetune/a.pt").exists()
    assert places["data/pool"].exists()


def said(left: Path) -> str:
    return workspace.answers(left)["gate"]["answer"].item()


def test_a_chain_starts_from_the_base(base: Path):
    assert workspace.state_of(base) == {"incumbent": None, "history": None}
    assert said(base) == "base"
    assert workspace.holds(base, "key-0")


def test_after_a_pass_the_challenger_is_the_incumbent(tmp_path: Path, finished: Path, base: Path):
    left = tmp_path / "left"
    workspace.hand_over(finished, base, left, "key-1", 1, answers("challenger"))
    state = workspace.state_of(left)
    md5 = tables.folder_md5(finished / "models/challenger")
    assert state["incumbent"] == {"round": 1, "rev": "key-1", "md5": md5}
    assert state["history"]["md5"] == rounds.bytes_md5((finished / LABELS).read_bytes())
    assert said(left) == "challenger"


def test_without_a_pass_the_incumbent_stays(tmp_path: Path, finished: Path, base: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    workspace.hand_over(finished, base, first, "key-1", 1, None)
    assert workspace.state_of(first)["incumbent"] is None
    assert said(first) == "base"
    assert not (first / "models").exists()

    workspace.hand_over(finished, base, first, "key-1", 1, answers("challenger"))
    (finished / "models/challenger/adapter").write_text("worse", encoding="utf-8")
    workspace.hand_over(finished, first, second, "key-2", 2, None)
    assert workspace.state_of(second)["incumbent"] == workspace.state_of(first)["incumbent"]
    assert (second / "models/challenger/adapter").read_text(encoding="utf-8") == "challenger"
    assert said(second) == "challenger"


def test_stages_restore_a_round_from_what_it_left(tmp_path: Path, finished: Path, base: Path):
    left = tmp_path / "left"
    workspace.hand_over(finished, base, left, "key-1", 1, answers("challenger"))
    real = rounds.materialise_file
    with workspace.instead_of_commits(left):
        labels = rounds.materialise_file(Path(LABELS), "rev", "md5")
        text = rounds.committed(Path("metrics/annotate_import.json"), "rev")
        rounds.materialise_folder(Path("models/challenger"), "rev", tmp_path / "current")
    assert labels == (finished / LABELS).read_bytes()
    assert text == "imported"
    assert (tmp_path / "current/adapter").read_text(encoding="utf-8") == "challenger"
    assert rounds.materialise_file is real


def test_commits_are_commits_again_after_an_error(base: Path):
    real = rounds.committed
    with pytest.raises(FileNotFoundError), workspace.instead_of_commits(base):
        rounds.committed(Path("metrics/gate.json"), "rev")
    assert rounds.committed is real


def test_what_is_left_belongs_to_one_key(tmp_path: Path, finished: Path, base: Path):
    left = tmp_path / "left"
    assert not workspace.holds(left, "key-1")
    workspace.hand_over(finished, base, left, "key-1", 1, answers("challenger"))
    assert workspace.holds(left, "key-1")
    assert not workspace.holds(left, "key-2")


def test_a_half_written_hand_over_counts_for_nothing(tmp_path: Path, finished: Path, base: Path):
    left = tmp_path / "left"
    shutil.rmtree(finished / "models/challenger")
    with pytest.raises(FileNotFoundError):
        workspace.hand_over(finished, base, left, "key-1", 1, answers("challenger"))
    assert not workspace.holds(left, "key-1")
