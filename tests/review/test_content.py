import pytest

from medq_engine.annotations import reading
from medq_engine.descriptions import PLACES, describe
from medq_engine.language import Finding
from medq_engine.review.content import Content, compose, content_of, parse
from medq_engine.review.errors import ReviewError
from tests.review.conftest import NOTHING

STREAK = {"label": "metal streak", "severity": "severe", "place": PLACES[0]}
NOISE = {"label": "low-dose noise", "severity": "mild", "place": ""}


def stored(task, content: Content):
    description = compose(content, task["modality"])
    return reading(
        task,
        "anna",
        "batch",
        content.answer,
        verdict=content.verdict,
        description=description,
        note=content.note,
        unjudged=content.unjudged,
    )


@pytest.mark.parametrize(
    "given",
    [
        {"answer": "metal streak", "findings": [NOISE, STREAK], "text": "Left hip.\n\nTwo screws."},
        {"answer": "no degradation", "verdict": "good"},
        {"answer": "no degradation", "verdict": "good", "text": " <b>sharp</b> "},
        {"answer": "metal streak", "verdict": "reject", "note": "ask the ward"},
        {"unjudged": "cut off", "note": "again"},
        {
            "answer": "metal streak",
            "text": "X. Overall, the quality of this image is reject.",
        },
    ],
)
def test_what_was_entered_comes_back_from_what_is_stored(review_task, given):
    task = review_task(1)
    content = parse(NOTHING | given, "ct")
    row = stored(task, content)
    assert content_of(row, "ct") == content
    assert stored(task, content_of(row, "ct")) == row


def test_findings_and_free_text_become_one_description():
    content = parse(NOTHING | {"findings": [STREAK, NOISE], "text": "Left hip."}, "ct")
    assert content.findings == (Finding("low-dose noise", "mild"), Finding(**STREAK))
    assert compose(content, "ct") == describe("ct", content.findings) + " Left hip."


def test_the_verdict_good_without_findings_says_that_there_is_no_degradation():
    assert compose(Content(answer="None", verdict="good"), "ct") == describe("ct", ())
    assert compose(Content(answer="Mild", verdict="usable"), "ct") == ""


def test_free_text_alone_has_nothing_to_stand_on():
    with pytest.raises(ReviewError, match="add one"):
        compose(Content(answer="Mild", text="a bit soft"), "ct")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "fields"),
        ([], "fields"),
        (NOTHING | {"more": ""}, "fields"),
        (NOTHING | {"note": 3}, "'note'"),
        (NOTHING | {"findings": STREAK}, "a list"),
        (NOTHING | {"findings": ["metal streak"]}, "label, severity and place"),
        (NOTHING | {"findings": [STREAK | {"label": "aliasing"}]}, "aliasing"),
        (NOTHING | {"findings": [STREAK | {"label": ["x"]}]}, "label"),
        (NOTHING | {"findings": [STREAK | {"severity": "none"}]}, "none"),
        (NOTHING | {"findings": [STREAK | {"place": "somewhere"}]}, "somewhere"),
        (NOTHING | {"findings": [STREAK, STREAK | {"severity": "mild"}]}, "twice"),
    ],
)
def test_what_is_no_reading_is_refused(given, why):
    with pytest.raises(ReviewError, match=why):
        parse(given, "ct")
