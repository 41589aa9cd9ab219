"""Lineage: hashes as DVC has them, and the params that changed."""

import pytest
from dvc.repo import Repo

from medq_engine.lineage import changed_params, content_md5, hashes, leaves, parsed
from medq_engine.tables import TableError

BEFORE = """
round: 1
incumbent: null
seed: 7
finetune: { steps: 300, adapt: [vision, language], old: true }
endpoints: {}
"""
AFTER = """
round: 2 # another
incumbent: { round: 1, rev: abc }
seed: 7
finetune: { steps: 400, adapt: [vision], name: "é" }
endpoints: { gpt: { model: x } }
"""


def test_changes_are_leaves_without_the_state_of_the_round():
    assert changed_params(parsed(BEFORE), parsed(AFTER)) == [
        ("endpoints", "{}", "-"),
        ("endpoints.gpt.model", "-", '"x"'),
        ("finetune.adapt", '["vision", "language"]', '["vision"]'),
        ("finetune.name", "-", '"é"'),
        ("finetune.old", "true", "-"),
        ("finetune.steps", "300", "400"),
    ]


def test_comments_and_order_are_no_change():
    assert changed_params(parsed("a: 1 # x\nb: {c: 2}\n"), parsed("b:\n  c: 2\na: 1\n")) == []


def test_leaves_have_dotted_keys():
    nested = {"a": {"b": 1}, "c": [1, 2], "d": {}}
    assert list(leaves(nested)) == [("a.b", 1), ("c", [1, 2]), ("d", {})]


def test_a_hash_is_the_one_that_dvc_writes(tmp_path):
    folder = tmp_path / "data"
    for name in ("b.txt", "a/deep.txt", "a.txt", "a-b/x.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    repo = Repo.init(tmp_path, no_scm=True)
    stages = repo.add([str(folder)], no_commit=True)
    repo.close()
    assert hashes({"data": folder}) == {"data": stages[0].outs[0].hash_info.value}
    assert content_md5(folder / "b.txt") == "ce506ace22f28ac2bc4f933d4cf989fd"


def test_an_input_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(TableError, match="nothing is there"):
        content_md5(tmp_path / "missing")
