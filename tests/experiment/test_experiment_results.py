from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from medq_engine import tables
from medq_engine.experiment import results
from medq_engine.experiment.results import FINE, TAUGHT, UNTAUGHT

Row = Callable[..., dict[str, object]]
ALIASING = [{"label": "aliasing", "severity": "mild", "place": ""}]
BLUR = [{"label": "blur", "severity": "severe", "place": ""}]


@pytest.mark.parametrize("items", [1, 8, 13])
def test_answers_are_packed_and_unpacked(items: int):
    right = np.random.default_rng(items).integers(0, 2, items).astype(bool)
    assert (results.unpack(results.pack(right), items) == right).all()


def test_faults_are_known_by_their_labels():
    assert results.untaught_labels(["aliasing", "ring-artifact"]) == {"aliasing", "ring artifact"}


def asked(item_row: Row) -> pl.DataFrame:
    rows = [
        item_row("a", scene_id="s2"),
        item_row("b", scene_id="s1", findings=BLUR, severity="severe"),
        item_row("c", scene_id="s2", findings=[], severity="none"),
        item_row("d", task="description"),
        item_row("e", scene_id="s3", findings=[*BLUR, *ALIASING]),
    ]
    return results.questions(tables.table(rows, tables.ITEM), {"aliasing"})


def test_questions_are_told_apart_by_what_the_base_was_taught(item_row: Row):
    found = asked(item_row)
    assert found["item_id"].to_list() == ["a", "b", "c", "e"]
    assert found["kind"].to_list() == [UNTAUGHT, TAUGHT, FINE, UNTAUGHT]
    assert results.scenes(found) == "1 0 1 2"


def test_answers_are_scored_in_the_order_of_the_questions(item_row: Row):
    given = pl.DataFrame({"item_id": ["e", "c", "b", "a"], "correct": [True, True, False, False]})
    found = results.scored(asked(item_row), given)
    assert results.unpack(found["correct"], found["items"]).tolist() == [False, False, True, True]
    assert found["accuracy"] == 0.5
    assert found["by"]["kind"] == {FINE: 1.0, TAUGHT: 0.0, UNTAUGHT: 0.5}
    assert found["by"]["severity"] == {"mild": 0.5, "none": 1.0, "severe": 0.0}


def test_truth_tells_what_labels_are_worth(label_row: Row):
    labels = [
        label_row("a", route="expert", image_id="x"),
        label_row("b", route="expert", image_id="y"),
        label_row("c", route="model", image_id="x", answer="Yes", round=2),  # aliasing it is
        label_row("d", route="draft", image_id="y", answer="Yes", round=2),
        label_row("e", route="draft", image_id="y", answer="Yes", round=1),  # of a round before
    ]
    truth = [
        {"image_id": "x", "modality": "mri", "findings": ALIASING},
        {"image_id": "y", "modality": "mri", "findings": []},
    ]
    found = results.told_by_truth(
        tables.table(labels, tables.LABEL), tables.table(truth, tables.TRUTH), 2, {"aliasing"}
    )
    assert found["unreviewed"] == {"labels": 2, "wrong": 1}
    assert found["experts"] == {"labels": 2, "untaught": 1}


def test_labels_that_are_not_trained_on_are_counted_apart(label_row: Row):
    labels = tables.table(
        [label_row("a"), label_row("b", route="draft"), label_row("c", route="draft")], tables.LABEL
    )
    imported = {"expert_minutes_total": 12.5, "ledger": {"total": {"money": 30.0}}}
    weights = {"expert": 1.0, "draft": 0.0, "model": 0.5}
    assert results.spent(labels, weights, imported) == {
        "accepted": {"draft": 2, "expert": 1},
        "trained": 1,
        "minutes": 12.5,
        "money": 30.0,
    }


def test_a_result_is_fresh_for_its_key_alone(tmp_path: Path):
    path = tmp_path / "cell.json"
    assert not results.fresh(path, "k1")
    results.write({"key": "k1"}, path)
    assert results.fresh(path, "k1")
    assert not results.fresh(path, "k2")
    assert results.read(path)["simulated"] is True
