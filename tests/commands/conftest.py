"""A round whose batch waits for people."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medq_engine import tables
from medq_engine.annotations import Reading, read_readings
from medq_engine.batches import Batch, open_batch
from medq_engine.checks import queue_row
from medq_engine.config import Params
from medq_engine.language import question
from medq_engine.rounds import git
from medq_engine.simulation import to_png
from tests.commands.typed import ANSWERS, QUEUE, REPOSITORY, params

ALIASED = [{"label": "aliasing", "severity": "severe", "place": ""}]


@pytest.fixture
def routed(task_row) -> list[dict[str, object]]:
    """Three tasks (schema TASK) about MRI images, a question of every type.

    The second wants two readers. The third is a gold task, whose image has nothing to be seen.
    """
    kinds = [("yes-no", "aliasing", 1, ""), ("what", "", 2, ""), ("how", "", 1, "None")]
    rows = []
    for number, (kind, attribute, readers, gold) in enumerate(kinds):
        text, options = question(kind, "mri", attribute)
        about = {"question_type": kind, "attribute": attribute, "question": text}
        checks = {"readers": readers, "gold": gold, "audit": False}
        rows.append(task_row(f"t{number}", options=list(options), **about, **checks))
    return rows


@pytest.fixture
def tasks(routed) -> list[dict[str, object]]:
    """The tasks as people see them."""
    return [queue_row(task) for task in routed]


def write_records(path: Path, image_ids: list[str]) -> None:
    same = {"modality": "mri", "subject_id": "s", "source": "x", "origin": "phantom"}
    rows = []
    for place, image_id in enumerate(image_ids):
        image = {"bytes": to_png(np.full((16, 16), place / 2, np.float32)), "path": "x"}
        size = {"licence": "x", "width": 16, "height": 16}
        rows.append({"image_id": image_id, "image": image, **same, **size})
    tables.write(tables.table(rows, tables.RECORD), path, tables.RECORD)


@pytest.fixture
def waiting(round_root, routed, tasks, item_row, monkeypatch) -> Path:
    """The working directory: a round whose batch of three tasks waits for people."""
    data, (first, second, gold) = round_root / "data", [task["image_id"] for task in routed]
    tables.replace(round_root / QUEUE, tables.canonical(tasks))
    made = tables.table(routed, tables.TASK)
    tables.write(made, data / "round" / "tasks.parquet", tables.TASK)
    write_records(data / "pool" / "shard-000.parquet", [first, second])
    write_records(data / "benchmark" / "dev" / "records.parquet", [gold])
    same = {"modality": "mri", "findings": ALIASED}
    truth = [{"image_id": image_id, **same} for image_id in (first, second)]
    made = tables.table(truth, tables.TRUTH)
    tables.write(made, data / "oracle" / "truth.parquet", tables.TRUTH)
    items = [
        item_row("i0", image_ids=[gold], findings=[]),
        # What two images show together is not what the first one shows.
        item_row("i1", task="comparison", image_ids=[gold, first], findings=ALIASED),
    ]
    made = tables.table(items, tables.ITEM)
    tables.write(made, data / "benchmark" / "dev" / "items.parquet", tables.ITEM)
    (round_root / ".gitignore").write_bytes((REPOSITORY / ".gitignore").read_bytes())
    git(round_root, "add", ".gitignore")
    git(round_root, "commit", "-q", "-m", "What git leaves alone")
    monkeypatch.chdir(round_root)
    return round_root


@pytest.fixture
def batch(waiting) -> Batch:
    """The batch that waits."""
    return open_batch(waiting, "round-001")


@pytest.fixture
def answers(batch) -> Callable[[], list[Reading]]:
    """The readings that the annotation file holds now, all checked."""
    return lambda: read_readings(ANSWERS, batch.tasks, batch.fingerprint)


@pytest.fixture
def sure(waiting) -> Params:
    """Params under which simulated people never err."""
    given = params()
    return replace(given, expert=replace(given.expert, accuracy=1.0, seconds=40.0))
