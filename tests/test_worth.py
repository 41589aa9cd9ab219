import numpy as np
import polars as pl
import pytest

from medq_engine.language import NO_DEGRADATION
from medq_engine.tables import ITEM
from medq_engine.worth import SOME, chosen, fault_errors, implied, parts


def answered(fault, error_rate, modality="ct"):
    findings = [{"label": fault, "severity": "mild", "place": ""}] if fault else []
    return {"modality": modality, "findings": findings, "error_rate": error_rate}


def test_errors_are_by_what_the_image_shows_whatever_was_asked():
    asked = pl.DataFrame(
        [
            answered("metal streak", 1.0),
            answered("metal streak", 0.6),
            answered("blur", 0.2),
            answered("", 0.0),
            answered("", 0.4),
            answered("", 1.0, "mri"),
        ],
        schema_overrides={"findings": ITEM["findings"]},
    )
    assert fault_errors(asked) == pytest.approx(
        {
            ("ct", "metal streak"): 0.8,
            ("ct", "blur"): 0.2,
            ("ct", NO_DEGRADATION): 0.2,
            ("ct", SOME): 0.6,
            ("mri", NO_DEGRADATION): 1.0,
        }
    )


def task(kind, options, attribute="aliasing"):
    about = {"modality": "mri", "question_type": kind, "attribute": attribute}
    return about | {"options": list(options)}


@pytest.mark.parametrize(
    ("kind", "option", "attribute", "expected"),
    [
        ("what", "blur", "aliasing", "blur"),
        ("what", NO_DEGRADATION, "aliasing", NO_DEGRADATION),
        ("yes-no", "Yes", "aliasing", "aliasing"),
        ("yes-no", "No", "aliasing", NO_DEGRADATION),
        ("how", "Mild", "aliasing", "aliasing"),
        ("how", "Severe", NO_DEGRADATION, SOME),
        ("how", "Severe", "", SOME),
        ("how", "None", "aliasing", NO_DEGRADATION),
    ],
)
def test_an_answer_implies_the_fault_that_it_names_or_that_was_asked_about(
    kind, option, attribute, expected
):
    assert implied(task(kind, [option], attribute), option) == ("mri", expected)


ERRORS = {("mri", "aliasing"): 0.8, ("mri", "blur"): 0.1, ("mri", NO_DEGRADATION): 0.0}


def test_a_reading_is_worth_what_it_may_show_that_the_model_does_not_know():
    options = [NO_DEGRADATION, "aliasing", "blur", "spike noise"]
    chances = [
        np.array([0.5, 0.5, 0.0, 0.0]),
        np.array([0.5, 0.0, 0.5, 0.0]),
        np.array([0.5, 0.0, 0.0, 0.5]),  # dev never showed it
    ]
    probable, worth = parts([task("what", options)] * 3, chances, ERRORS)
    assert probable.sum(1) == pytest.approx([1, 1, 1])
    assert worth.sum(1) == pytest.approx([0.4, 0.05, 0.5])
    assert chosen(probable, worth, 2, 0.5) == [2, 0]


def test_both_severities_are_one_fault():
    probable, worth = parts(
        [task("how", ["None", "Mild", "Severe"])], [np.array([0.2, 0.3, 0.5])], ERRORS
    )
    assert sorted(probable[0]) == pytest.approx([0.2, 0.8])
    assert worth.sum() == pytest.approx(0.8 * 0.8)


def test_the_second_reading_of_a_fault_is_worth_less_than_the_first():
    """Five images of one fault, and one of another that is worth a little less."""
    probable = np.array([[1.0, 0.0]] * 5 + [[0.0, 1.0]])
    worth = probable * [1.0, 0.8]
    assert chosen(probable, worth, 2, 0.5) == [0, 5]
    assert chosen(probable, worth, 4, 0.5) == [0, 5, 1, 2]


def test_without_diminishing_worth_the_most_likely_fault_is_read_alone():
    probable = np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]])
    assert chosen(probable, probable * [1.0, 0.8], 3, 0.0) == [0, 1, 2]


def test_there_is_no_more_to_read_than_there_is():
    probable = np.array([[1.0], [1.0]])
    assert chosen(probable, probable, 5, 0.5) == [0, 1]
    assert chosen(probable, probable, 0, 0.5) == []
    assert chosen(*parts([], [], {}), 3, 0.5) == []
