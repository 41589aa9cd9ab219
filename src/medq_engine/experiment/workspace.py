"""The working folder of a chain's round: inputs by link, and what the round before left.

`medq next` names labels and adapter by a commit; here the finished round hands over the same files.
What it left lies apart until the next round is done, so a killed round starts again from it.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from medq_engine import rounds, tables
from medq_engine.experiment.inputs import link, write_params

DEV = "data/benchmark/dev"
LABELS, CHALLENGER = "data/round/labels.parquet", "models/challenger"
ANSWERS = "incumbent"
"""Folder of the incumbent's answers (schema PREDICTION, one file a split)."""
SPLITS = ("gate", "test")
KEY = "key.json"
KEPT = ".work"  # of an unfinished round: the checkpoint of its training
MADE = ("data", "models", "metrics", "reports")


def build(folder: Path, places: Mapping[str, Path], params: Mapping[str, object]) -> None:
    """A fresh working folder with links to the inputs; of dev, only questions are asked.

    Descriptions cost minutes a round and steer nothing: prototypes, gold tasks and drafts are about
    questions.

    Args:
        folder: A checkpoint in its `.work` is kept.
        places: Where the inputs lie.
        params: Contents of params.yaml.
    """
    for name in MADE:
        shutil.rmtree(folder / name, ignore_errors=True)
    link({path: place for path, place in places.items() if path != DEV}, folder)
    dev = folder / DEV
    dev.mkdir(parents=True)
    (dev / "records.parquet").symlink_to(places[DEV] / "records.parquet")
    items = tables.read(places[DEV] / "items.parquet", tables.ITEM)
    asked = items.filter(pl.col("task") == "perception")
    tables.write(asked, dev / "items.parquet", tables.ITEM)
    write_params(params, folder / "params.yaml")


def holds(folder: Path, key: str) -> bool:
    """True if a folder holds what the cell of this key left."""
    path = folder / KEY
    return path.exists() and json.loads(path.read_text(encoding="utf-8"))["key"] == key


def state_of(left: Path) -> dict[str, object]:
    """Incumbent and history after a round, as params.yaml names them; both null for the base."""
    found = json.loads((left / KEY).read_text(encoding="utf-8"))
    return {name: found[name] for name in ("incumbent", "history")}


@contextmanager
def instead_of_commits(left: Path) -> Iterator[None]:
    """Let `history` and `current` restore a past round from what it left.

    Rounds of a chain are no commits. The stages run as they are; what fetches a file of a commit
    for them fetches it from the folder, whatever the commit is called.
    """

    def file(path: Path, rev: str, md5: str) -> bytes:
        return (left / path).read_bytes()

    def text(path: Path, rev: str) -> str:
        return (left / path).read_text(encoding="utf-8")

    def folder(path: Path, rev: str, target: Path) -> None:
        shutil.copytree(left / path, target)

    ours = {"materialise_file": file, "committed": text, "materialise_folder": folder}
    theirs = {name: getattr(rounds, name) for name in ours}
    vars(rounds).update(ours)
    try:
        yield
    finally:
        vars(rounds).update(theirs)


def answers(left: Path) -> dict[str, pl.DataFrame]:
    """The answers of the model in force after a round, by split."""
    return {s: tables.read(left / ANSWERS / f"{s}.parquet", tables.PREDICTION) for s in SPLITS}


def store_answers(left: Path, predictions: Mapping[str, pl.DataFrame]) -> None:
    """Write the answers of the model in force, by split."""
    for split in SPLITS:
        path = left / ANSWERS / f"{split}.parquet"
        tables.write(predictions[split], path, tables.PREDICTION)


def leave_base(left: Path, key: str, predictions: Mapping[str, pl.DataFrame]) -> None:
    """Write what the first round of a chain starts from: no adapter, no labels.

    Args:
        left: To be written.
        key: Of the base.
        predictions: The base's answers by split.
    """
    shutil.rmtree(left, ignore_errors=True)
    store_answers(left, predictions)
    tables.write_json({"key": key, "incumbent": None, "history": None}, left / KEY)


def hand_over(
    folder: Path,
    before: Path,
    left: Path,
    key: str,
    number: int,
    challenger: Mapping[str, pl.DataFrame] | None,
) -> None:
    """Write what a finished round leaves to the next: labels, metrics, the adapter in force.

    Args:
        folder: Working folder of the round.
        before: What the round before left.
        left: To be written; complete once it is there.
        key: Of the round's cell.
        number: The round.
        challenger: Its answers by split where it has passed; None leaves the incumbent in force.
    """
    partial = left.with_name(f"{left.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(folder / "metrics", partial / "metrics")
    (partial / LABELS).parent.mkdir(parents=True)
    shutil.copyfile(folder / LABELS, partial / LABELS)
    incumbent = state_of(before)["incumbent"]
    if challenger is not None:
        shutil.copytree(folder / CHALLENGER, partial / CHALLENGER)
        incumbent = {"round": number, "rev": key, "md5": tables.folder_md5(folder / CHALLENGER)}
    elif incumbent:
        shutil.copytree(before / CHALLENGER, partial / CHALLENGER)
    store_answers(partial, answers(before) if challenger is None else challenger)
    history = {"rev": key, "md5": rounds.bytes_md5((folder / LABELS).read_bytes())}
    tables.write_json({"key": key, "incumbent": incumbent, "history": history}, partial / KEY)
    partial.rename(left)
