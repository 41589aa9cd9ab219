import json
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from medq_engine.annotations import AnnotationError, reading
from medq_engine.answer_file import AnswerFile, locked, save
from medq_engine.batches import open_batch
from medq_engine.tables import canonical, replace

HOLD = """
import sys
from pathlib import Path
from medq_engine.answer_file import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def batch(tmp_path, task_row):
    tasks = [task_row(f"t{number}", readers=2) for number in range(4)]
    replace(tmp_path / "data" / "queue" / "round-001.jsonl", canonical(tasks))
    return open_batch(tmp_path, "round-001")


def row(batch, number, annotator="anna", answer="Yes", **more):
    return reading(batch.tasks[number], annotator, batch.fingerprint, answer, **more)


def test_readings_are_added_and_replaced(batch):
    save(batch, [row(batch, 1), row(batch, 0)])
    now = save(batch, [row(batch, 1, answer="No"), row(batch, 1, "bert")])
    assert sorted((one["task_id"], one["annotator"], one["answer"]) for one in now) == [
        ("t0", "anna", "Yes"),
        ("t1", "anna", "No"),
        ("t1", "bert", "Yes"),
    ]
    lines = batch.answers.read_bytes().splitlines()
    assert [json.loads(line)["task_id"] for line in lines] == ["t0", "t1", "t1"]


@pytest.mark.parametrize("rules", [".gitignore", ".dvcignore"])
def test_what_lies_beside_the_file_is_ignored(batch, rules):
    save(batch, [row(batch, 0)])
    beside = {path.name for path in batch.answers.parent.iterdir()} - {batch.answers.name}
    lines = (Path(__file__).parents[1] / rules).read_text(encoding="utf-8").splitlines()
    patterns = [line.removeprefix("/data/annotations/") for line in lines]
    assert beside
    assert all(any(fnmatch(name, pattern) for pattern in patterns) for name in beside)


def test_what_others_write_is_read_again(batch):
    mine = AnswerFile(batch)
    assert mine.read() == []
    save(batch, [row(batch, 0)])
    assert [one["task_id"] for one in mine.read()] == ["t0"]
    mine.change(lambda there: [*there, row(batch, 1)])
    save(batch, [row(batch, 2)])
    assert len(mine.change(lambda there: there)) == 3


def test_a_broken_file_is_left_as_it_is(batch):
    replace(batch.answers, b'{"task_id": "t0"\n')
    with pytest.raises(AnnotationError, match=r"round-001\.jsonl:1"):
        save(batch, [row(batch, 0)])
    assert batch.answers.read_bytes() == b'{"task_id": "t0"\n'


def test_a_batch_that_was_made_anew_takes_no_reading(batch):
    replace(batch.queue, b"")
    with pytest.raises(AnnotationError, match="Start the command again"):
        save(batch, [row(batch, 0)])


def test_a_change_that_fails_changes_nothing_and_frees_the_lock(batch):
    save(batch, [row(batch, 0)])
    before = batch.answers.read_bytes()
    with pytest.raises(ZeroDivisionError):
        AnswerFile(batch).change(lambda there: [1 / 0])
    assert batch.answers.read_bytes() == before
    save(batch, [row(batch, 1)])


def test_a_lock_is_held_against_other_processes_and_free_when_they_are_killed(batch):
    command = [sys.executable, "-c", HOLD, str(batch.answers)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AnnotationError, match="in use"), locked(batch.answers, wait=0.0):
            pass
        holder.kill()
        holder.wait()
        save(batch, [row(batch, 0)])
    assert batch.answers.exists()
