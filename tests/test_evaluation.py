import io

import numpy as np
import polars as pl
import pytest

from medq_engine import evaluation
from medq_engine.descriptions import FIRST, SECOND
from medq_engine.evaluation import (
    calibration,
    first_is_better,
    predict,
    sample_answers,
    summary,
)
from medq_engine.mllm import Scored
from medq_engine.tables import ITEM, PREDICTION, RECORD, table

SETTINGS = {
    "repeats": 5,
    "gamma": 0.6,
    "temperature": 1.0,
    "seed": 1,
    "images_per_batch": 2,
    "max_new_tokens": 4,
}


@pytest.fixture
def records(noise_images) -> pl.DataFrame:
    rows = []
    for number, image in enumerate(noise_images):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        png = {"bytes": buffer.getvalue(), "path": "x.png"}
        text = dict.fromkeys(("subject_id", "source", "origin", "licence"), "x")
        size = {"width": 48, "height": 48}
        rows.append({"image_id": f"i{number}", "image": png, "modality": "mri", **text, **size})
    return table(rows, RECORD)


@pytest.fixture
def items(item_row) -> pl.DataFrame:
    rows = [item_row(f"q{n}", image_ids=[f"i{n}"], answer=["Yes", "No"][n % 2]) for n in range(4)]
    opened = {"task": "description", "question_type": "", "options": [], "answer": ""}
    text = {"question": "Describe the quality of this image."}
    rows.insert(1, item_row("open", image_ids=["i3"], **opened, **text))
    return table(rows, ITEM)


def says(monkeypatch, probabilities: list[float]) -> None:
    """Make every question have these option probabilities, whatever the model."""
    p = np.array(probabilities)
    monkeypatch.setattr(
        evaluation.llm,
        "score",
        lambda mllm, images, queries, batch: [Scored(p, -np.log(p))] * len(queries),
    )


def drawn(monkeypatch, answers: list[str]) -> None:
    monkeypatch.setattr(evaluation, "sample_answers", lambda *args: answers)


def test_predictions_follow_the_items_and_keep_the_contract(nano_model, records, items):
    found = predict(nano_model, records, items, **SETTINGS)
    assert found["item_id"].to_list() == items["item_id"].to_list()
    assert dict(found.schema) == PREDICTION
    closed = items.join(found, on="item_id", suffix="_given").filter(pl.col("task") == "perception")
    for row in closed.iter_rows(named=True):
        best = int(np.argmax(row["probabilities"]))
        assert row["answer_given"] == row["options"][best]
        assert row["correct"] == (row["answer_given"] == row["answer"])
        truth = row["options"].index(row["answer"])
        assert row["probability_of_truth"] == row["probabilities"][truth]
        assert len(row["answers"]) == 5
    described = found.row(1, named=True)
    assert described["text"] is not None
    assert described["nll"] > 0
    assert described["completeness"] is not None
    assert described["correct"] is None


def test_a_prediction_does_not_depend_on_the_other_items(nano_model, records, items):
    all_of_them = predict(nano_model, records, items, **SETTINGS)
    last = predict(nano_model, records, items[-1:], **SETTINGS)
    assert last["answers"].to_list() == all_of_them["answers"].to_list()[-1:]
    assert last["nll"][0] == pytest.approx(all_of_them["nll"][-1], abs=1e-5)


@pytest.mark.parametrize(("wrong", "failure"), [(3, False), (4, True), (0, False), (5, True)])
def test_an_item_fails_when_its_error_rate_is_strictly_above_gamma(
    monkeypatch, records, items, wrong, failure
):
    # Gamma is 0.6: three wrong answers of five are not yet persistent.
    says(monkeypatch, [0.5, 0.5])
    drawn(monkeypatch, ["No"] * wrong + ["Yes"] * (5 - wrong))
    asked = items.filter(pl.col("task") == "perception").with_columns(answer=pl.lit("Yes"))
    found = predict(None, records, asked, **SETTINGS)
    assert found["error_rate"].to_list() == [wrong / 5] * 4
    assert found["failure"].to_list() == [failure] * 4


def test_nll_is_that_of_the_models_own_answer(monkeypatch, records, items):
    says(monkeypatch, [0.2, 0.8])
    asked = items.filter(pl.col("task") == "perception")
    found = predict(None, records, asked, **SETTINGS)
    assert found["answer"].to_list() == ["No"] * 4
    assert found["nll"].to_list() == pytest.approx([-np.log(0.8)] * 4)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 0, 0], [0, 0, 1], 1.0),
        ([0, 0, 1], [0, 1, 0], 0.0),
        ([0, 1, 0], [0, 1, 0], 0.5),
        ([0.5, 0.5, 0], [0, 1, 0], 0.75),
    ],
)
def test_an_image_is_better_as_surely_as_its_grade_is_higher(first, second, expected):
    assert first_is_better(np.array(first), np.array(second)) == pytest.approx(expected)


def test_pairs_are_compared_by_what_the_model_says_of_each_image(monkeypatch, records, item_row):
    grade = {0: [0.8, 0.1, 0.1], 1: [0.1, 0.1, 0.8]}
    monkeypatch.setattr(
        evaluation.llm,
        "score",
        lambda mllm, images, queries, batch: [
            Scored(np.array(grade[query.image]), np.zeros(3)) for query in queries
        ],
    )
    pair = {"task": "comparison", "options": [], "question_type": "coarse-grained"}
    rows = [
        item_row("right", image_ids=["i0", "i1"], answer=FIRST, **pair),
        item_row("wrong", image_ids=["i1", "i0"], answer=FIRST, **pair),
    ]
    found = predict(None, records, table(rows, ITEM), **SETTINGS)
    assert found["answer"].to_list() == [FIRST, SECOND]
    assert found["correct"].to_list() == [True, False]
    assert found["probability_of_truth"].sum() == pytest.approx(1)


def test_sampled_answers_are_seeded_by_item():
    def answers(item_id: str, seed: int) -> list[str]:
        return sample_answers(item_id, ["A", "B", "C"], np.full(3, 1 / 3), 30, 1.0, seed)

    assert answers("a", 1) == answers("a", 1)
    assert len({tuple(answers(*key)) for key in [("a", 1), ("b", 1), ("a", 2)]}) == 3


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 0.8), (0.5, 16 / 17), (2.0, 2 / 3)])
def test_answers_are_drawn_at_the_temperature(temperature, expected):
    answers = sample_answers("a", ["A", "B"], np.array([0.8, 0.2]), 2000, temperature, 1)
    assert answers.count("A") / 2000 == pytest.approx(expected, abs=0.045)


def test_an_impossible_option_is_never_drawn():
    answers = sample_answers("a", ["A", "B"], np.array([1.0, 0.0]), 200, 1.0, 1)
    assert set(answers) == {"A"}


def test_calibration_of_a_known_example():
    # Two sure answers, one of them wrong, and two even ones, both right.
    found = calibration(
        np.array([1.0, 0.0, 1.0, 1.0]), [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.5, 0.5]]
    )
    assert found["shift"] == pytest.approx(0.5 - 0.75)
    # Over all answers confidence equals accuracy; only bins show that neither half is calibrated.
    assert found["ece"] == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)
    assert found["brier"] == pytest.approx((0 + 1 + 0.25 + 0.25) / 4)
    assert found["auroc"] == pytest.approx((0.5 + 0 + 0) / 3)


def test_calibration_shift_is_certainty_less_accuracy():
    # 1 - H / log 4 of (1/2, 1/2, 0, 0) is 1 - log 2 / log 4 = 1/2.
    overconfident = calibration(np.zeros(2), [[0.5, 0.5, 0.0, 0.0]] * 2)
    assert overconfident["shift"] == pytest.approx(0.5)
    assert overconfident["auroc"] is None
    modest = calibration(np.ones(2), [[0.25] * 4] * 2)
    assert modest["shift"] == pytest.approx(-1.0)


def test_auroc_ranks_right_above_wrong():
    found = calibration(np.array([1.0, 0.0]), [[0.9, 0.1], [0.6, 0.4]])
    assert found["auroc"] == 1.0


def test_summary_counts_perception_by_slice_and_descriptions_apart(item_row):
    rows = [
        item_row("a", modality="mri"),
        item_row("b", modality="ct"),
        item_row("c", modality="ct"),
        item_row("d", task="description", question_type="", options=[], answer=""),
    ]
    given = [
        {"item_id": "c", "correct": False, "failure": True, "probabilities": [0.3, 0.7]},
        {"item_id": "b", "correct": True, "failure": False, "probabilities": [0.8, 0.2]},
        {"item_id": "a", "correct": True, "failure": False, "probabilities": [0.9, 0.1]},
        {"item_id": "d", "completeness": 2, "preciseness": 1, "consistency": 2, "quality": 0},
    ]
    found = summary(table(rows, ITEM), table(given, PREDICTION))
    assert found["items"] == 3
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["failures"] == 1
    assert found["accuracy_by"]["modality"] == {"ct": 0.5, "mri": 1.0}
    assert found["description"] == {
        "completeness": 2.0,
        "preciseness": 1.0,
        "consistency": 2.0,
        "quality": 0.0,
        "overall": 5.0,
    }
