"""A round's batch as people meet it: its tasks, its images, where its answers go, who answers."""

from dataclasses import dataclass
from pathlib import Path

from medq_engine import tables
from medq_engine.annotations import read_lines
from medq_engine.rounds import RoundError, git


@dataclass(frozen=True)
class Batch:
    """The tasks of a round that wait for people.

    Attributes:
        tag: The round's name.
        tasks: Rows of the queue file, in its order.
        fingerprint: What its readings must name (`tables.fingerprint` of the queue file).
        queue, answers: The two files, both in git.
    """

    tag: str
    tasks: tuple[dict[str, object], ...]
    fingerprint: str
    queue: Path
    answers: Path


def open_batch(root: Path, tag: str) -> Batch:
    """The round's batch.

    Raises:
        RoundError: The round has no batch yet.
    """
    queue = root / "data" / "queue" / f"{tag}.jsonl"
    if not queue.exists():
        raise RoundError(f"{queue} is not there yet: run `dvc repro route`")
    tasks = tuple(row for _, row in read_lines(queue))
    answers = root / "data" / "annotations" / f"{tag}.jsonl"
    return Batch(tag, tasks, tables.fingerprint(queue.read_bytes()), queue, answers)


def git_identity(root: Path) -> str:
    """The name under which git would commit here: who answers, unless another is given.

    Raises:
        RoundError: Git knows no name.
    """
    try:
        return git(root, "config", "user.name")
    except RoundError as error:
        raise RoundError(
            "git knows no name to answer under: `git config user.name NAME`, or give --annotator"
        ) from error


def image_source(root: Path) -> tables.Images:
    """Images of a batch: of the pool, and of dev, where gold tasks and examples come from."""
    data = root / "data"
    return tables.Images(data / "pool", data / "benchmark" / "dev" / "records.parquet")
