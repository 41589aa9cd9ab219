from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medq_engine.annotations import AnnotationError
from medq_engine.batches import git_identity, image_source, open_batch
from medq_engine.rounds import RoundError, git
from medq_engine.simulation import to_png
from medq_engine.tables import RECORD, canonical, fingerprint, replace, table, write


def test_a_batch_is_its_queue_file(tmp_path, queue_row):
    rows = [queue_row(f"t{number}", round=7) for number in range(3)]
    queue = tmp_path / "data" / "queue" / "round-007.jsonl"
    replace(queue, canonical(rows))
    found = open_batch(tmp_path, "round-007")
    assert found.tag == "round-007"
    assert list(found.tasks) == rows
    assert found.fingerprint == fingerprint(queue.read_bytes())
    assert found.queue == queue
    assert found.answers == tmp_path / "data" / "annotations" / "round-007.jsonl"


def test_another_queue_has_another_fingerprint(tmp_path, queue_row):
    queue = tmp_path / "data" / "queue" / "round-001.jsonl"
    found = set()
    for options in (["Yes", "No"], ["No", "Yes"]):
        replace(queue, canonical([queue_row("t0", options=options)]))
        found.add(open_batch(tmp_path, "round-001").fingerprint)
    assert len(found) == 2


def test_a_round_without_a_batch_says_what_makes_one(tmp_path):
    with pytest.raises(RoundError, match=r"round-001\.jsonl is not there yet: run `dvc repro rout"):
        open_batch(tmp_path, "round-001")


def test_a_broken_queue_is_named_by_line(tmp_path):
    replace(tmp_path / "data" / "queue" / "round-001.jsonl", b'{"task_id": "t0"}\n<<<<<<< HEAD\n')
    with pytest.raises(AnnotationError, match=r"round-001\.jsonl:2: not JSON"):
        open_batch(tmp_path, "round-001")


def test_who_answers_is_who_git_says(git_root):
    git(git_root, "config", "user.name", "Dr. Ärztin <x>")
    assert git_identity(git_root) == "Dr. Ärztin <x>"


def test_without_a_name_git_and_the_option_are_named(git_root):
    with pytest.raises(RoundError, match=r"`git config user.name NAME`, or give --annotator"):
        git_identity(git_root)


def records(path: Path, *names: str) -> None:
    text = dict.fromkeys(("modality", "subject_id", "source", "origin", "licence"), "x")
    rows = []
    for name in names:
        image = {"bytes": to_png(np.full((8, 8), len(rows) / 10, np.float32)), "path": "x"}
        rows.append({"image_id": name, "image": image, **text, "width": 8, "height": 8})
    write(table(rows, RECORD), path, RECORD)


def test_images_of_a_batch_are_of_the_pool_and_of_dev(tmp_path):
    records(tmp_path / "data" / "pool" / "shard-000.parquet", "a", "b")
    records(tmp_path / "data" / "pool" / "shard-001.parquet", "c")
    for split in ("dev", "gate", "test"):
        records(tmp_path / "data" / "benchmark" / split / "records.parquet", split)
    found = image_source(tmp_path)
    assert set(found) == {"a", "b", "c", "dev"}
    assert isinstance(found["dev"], Image.Image)
    assert found.struct("dev")["bytes"].startswith(b"\x89PNG")
