"""Rows of the plots that DVC draws."""

import pytest

from medq_engine import plot_data
from medq_engine.tables import ITEM, PREDICTION, table
from tests.made_rounds import made


def predictions(*rows):
    return table([dict(zip(("item_id", "answer"), row, strict=False)) for row in rows], PREDICTION)


def what(item_row, item_id, answer, **changes):
    return item_row(item_id, question_type="what", answer=answer, **changes)


def test_losses_count_steps_from_one():
    assert plot_data.losses([2.0, 1.5]) == [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.5}]


def test_reliability_leaves_out_empty_bins():
    bins = [
        {"low": 0.0, "high": 0.1, "items": 0, "confidence": None, "accuracy": None},
        {"low": 0.6, "high": 0.7, "items": 2, "confidence": 0.64, "accuracy": 0.5},
    ]
    assert plot_data.reliability(bins) == [{"confidence": 0.64, "accuracy": 0.5, "items": 2}]


def test_confusion_holds_what_questions_only(item_row):
    items = table(
        [
            what(item_row, "a", "zipper"),
            what(item_row, "b", "blur"),
            item_row("c"),
            what(item_row, "d", "blur", task="description"),
        ],
        ITEM,
    )
    given = predictions(("c", "Yes"), ("b", "blur"), ("a", "blur"), ("d", ""))
    assert plot_data.confusion(items, given) == [
        {"actual": "zipper", "predicted": "blur"},
        {"actual": "blur", "predicted": "blur"},
    ]


def test_confusion_names_what_is_confused_most_and_pools_the_rest(item_row):
    truth = {"a": "zipper", "b": "zipper", "c": "ring", "d": "smoke"}
    items = table([what(item_row, name, answer) for name, answer in truth.items()], ITEM)
    given = predictions(("a", "blur"), ("b", "blur"), ("c", "haze"), ("d", "smoke"))
    assert plot_data.confusion(items, given, most=2) == [
        {"actual": "zipper", "predicted": "blur"},
        {"actual": "zipper", "predicted": "blur"},
        {"actual": "(other)", "predicted": "(other)"},
        {"actual": "(other)", "predicted": "(other)"},
    ]


def test_slices_begin_with_all_items():
    (row,) = made("pass")
    found = plot_data.slices(row.gate["test"])
    assert [one["slice"] for one in found] == [
        "overall",
        "modality: ct",
        "modality: mri",
        "question type: how",
        "question type: what",
        "question type: yes-no",
        "origin: clinical",
        "origin: phantom",
    ]
    assert found[2] == pytest.approx(
        {
            "slice": "modality: mri",
            "incumbent": 0.5,
            "challenger": 0.53,
            "gain": 0.03,
            "low": 0.01,
            "high": 0.05,
            "items": 50,
        }
    )


def test_unread_answers_are_shown_as_other(item_row):
    items = table([what(item_row, "a", "zipper"), what(item_row, "b", "zipper")], ITEM)
    given = predictions(("a", ""), ("b", "blur"))
    assert plot_data.confusion(items, given)[0] == {"actual": "zipper", "predicted": "(other)"}


def test_a_round_is_one_point_of_the_learning_curve():
    row = made("pass", "fail")[1]
    assert plot_data.spent(row.gate, row.labels) == [
        pytest.approx(
            {
                "labels": 80,
                "expert_minutes": 15.0,
                "in_force": 0.53,
                "challenger": 0.54,
                "base": 0.5,
            }
        )
    ]


def test_csv_has_its_header_even_without_rows():
    assert plot_data.csv([]).strip() == b""
    rows = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]
    assert plot_data.csv(rows) == b"step,loss\n1,0.5\n2,0.25\n"
    said = [{"actual": 'a,"b"', "predicted": "é"}]
    assert plot_data.csv(said).decode() == ('actual,predicted\n"a,""b""",é\n')
