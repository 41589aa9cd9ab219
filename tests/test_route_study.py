import polars as pl
import pytest

from medq_engine.config import RouteParams
from medq_engine.route_study import cells_table, draw, page, reliability_table, summed

SETTINGS = RouteParams(
    rule="risk",
    noise_target=0.02,
    noise_confidence=0.9,
    entropy_quantile=0.9,
    agreement=0.5,
    expert_share=0.18,
    diminishing=0.5,
    audit_share=0.1,
    gold_share=0.05,
    double_share=0.05,
    control_share=0.1,
)


def row(true=0.01, rate=0.02, low=0.0, high=0.05, **changes):
    covered = None if true is None else low <= true <= high
    above = None if true is None else true > 0.02
    return {
        "tasks": 100,
        "read": 20,
        "deferred": 40,
        "experts": 18,
        "unreviewed": 36,
        "held": 4,
        "true": true,
        "rate": rate,
        "low": low,
        "high": high,
        "covered": covered,
        "above": above,
        "chosen": 16,
        "hits": 8,
        "faults": 5,
    } | changes


NONE = row(true=None, rate=None, low=None, high=None, unreviewed=0)
TRIALS = [row(), row(true=0.03), row(true=0.06), NONE]


def test_a_cell_counts_intervals_that_cover_and_rounds_above_the_target():
    found = summed(TRIALS)
    assert (found["rounds"], found["covered"]) == (3, 2)
    assert found["coverage"] == pytest.approx(2 / 3)
    assert found["coverage_low"] < 2 / 3 < found["coverage_high"]
    assert found["above"] == pytest.approx(2 / 3)
    assert found["noise"] == pytest.approx(0.1 / 3)
    assert found["bias"] == pytest.approx(0.02 - 0.1 / 3)
    assert found["read"] == pytest.approx(0.2)
    assert found["unreviewed"] == pytest.approx(0.27)
    assert found["expert_labels"] == pytest.approx((3 * 18 / 54 + 1) / 4)
    assert (found["hits"], found["faults"]) == (0.5, 5)


def test_a_cell_without_an_unreviewed_label_has_no_noise():
    found = summed([NONE])
    assert (found["rounds"], found["coverage"], found["noise"]) == (0, None, None)
    assert "| - | - |" in cells_table({("drafts that err", "risk"): found})


def test_what_was_said_stands_beside_what_was_true():
    labels = pl.DataFrame(
        {
            "question_type": ["what"] * 4,
            "said": [0.015, 0.015, 0.3, 0.9],
            "wrong": [False, True, False, True],
        }
    )
    text = reliability_table(labels)
    assert "| to 2% | 2 | 1.5% | 50.0% |" in text
    assert "| above 60% | 1 | 90.0% | 100.0% |" in text


def test_page_and_figure_say_that_all_is_simulated(tmp_path, texts):
    cells = {("as declared", "risk"): summed(TRIALS), ("as declared", "paper"): summed([NONE])}
    labels = pl.DataFrame({"question_type": ["how"], "said": [0.1], "wrong": [False]})
    text = page(cells, labels, SETTINGS, 4, "a machine; commit abc", "study.png")
    assert "simulated" in text
    assert "make route-study" in text
    assert "commit abc" in text
    assert "2 of 3 (21 % to 94 %)" in text
    draw(TRIALS, cells, 0.02, 0.9, tmp_path / "study.png")
    assert (tmp_path / "study.png").exists()
    assert any("simulated" in word for word in texts)
