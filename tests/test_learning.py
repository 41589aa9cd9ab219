"""Points and figures over rounds."""

import io

import numpy as np
import pytest
from PIL import Image

from medq_engine import learning
from tests.made_rounds import made


def test_the_curve_starts_at_the_base_and_stays_where_a_challenger_did_not_pass():
    force = learning.in_force(made("inconclusive", "pass", "fail"))
    assert [(p.tag, p.labels, p.minutes) for p in force] == [
        ("", 0, 0.0),
        ("round-001", 40, 7.5),
        ("round-002", 80, 15.0),
        ("round-003", 120, 22.5),
    ]
    assert [p.accuracy for p in force] == pytest.approx([0.5, 0.5, 0.53, 0.53])
    assert [force[2].low, force[2].high] == pytest.approx([0.51, 0.55])


def test_challengers_that_did_not_pass_stand_beside_it():
    (first, third) = learning.refused(made("inconclusive", "pass", "fail"))
    assert [first.tag, third.tag] == ["round-001", "round-003"]
    assert [third.accuracy, third.low, third.high] == pytest.approx([0.54, 0.52, 0.56])


def test_slices_have_a_change_for_each_round_that_measured_them():
    rows = made("pass", "fail")
    del rows[0].gate["test"]["modality"]["ct"]
    found = {one.name: one for one in learning.slice_changes(rows, "test")}
    assert list(found)[:4] == [
        "overall",
        "question type: yes-no",
        "question type: what",
        "question type: how",
    ]
    assert found["modality: CT"].at(rows[0]) is None
    assert found["modality: CT"].at(rows[1])["value"] == 0.01
    assert len(found["overall"].rounds) == 2


@pytest.mark.parametrize("draw", [learning.curve, lambda r, p: learning.forest(r, "test", p)])
def test_figures_are_the_same_bytes_again_and_change_with_the_rounds(draw, tmp_path):
    def drawn(*verdicts: str) -> bytes:
        draw(made(*verdicts), tmp_path / "figure.png")
        return (tmp_path / "figure.png").read_bytes()

    once = drawn("pass", "fail")
    assert drawn("pass", "fail") == once
    assert drawn("pass", "pass") != once
    nothing = Image.open(io.BytesIO(drawn()))
    assert np.asarray(nothing).std() > 0
    assert nothing.size != Image.open(io.BytesIO(once)).size


def test_a_forest_shows_the_last_rounds_only(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "SHOWN", 2)

    def height(rounds: int) -> int:
        learning.forest(made(*rounds * ["pass"]), "test", tmp_path / "forest.png")
        return Image.open(tmp_path / "forest.png").height

    assert height(4) == height(2) > height(1)


def test_the_curve_does_without_baselines_that_nobody_measured(tmp_path):
    rows = made("pass")
    learning.curve(rows, tmp_path / "with.png")
    rows[-1].baselines.clear()
    learning.curve(rows, tmp_path / "without.png")
    assert (tmp_path / "with.png").read_bytes() != (tmp_path / "without.png").read_bytes()
