"""Marks: what a description says of the reference's faults."""

from medq_engine.marks import SYMBOLS, marks

REFERENCE = [
    {"label": "blur", "severity": "severe", "place": "at the top"},
    {"label": "bias field", "severity": "mild", "place": ""},
    {"label": "aliasing", "severity": "mild", "place": ""},
]
TEXT = (
    "This is an MRI image. There is severe blur. There is severe bias field. "
    "There is mild low contrast. Overall, the quality of this image is reject."
)


def said(text, findings=REFERENCE, verdict="reject"):
    found = marks(text, findings, verdict, "mri")
    assert all(row["symbol"] == SYMBOLS[row["mark"]] for row in found)
    return [(row["what"], row["mark"]) for row in found]


def test_right_wrong_missed_and_invented_are_told_apart():
    assert said(TEXT) == [
        ("severe blur", "right"),
        ("mild bias field", "wrong severity"),
        ("mild aliasing", "missed"),
        ("mild low contrast", "invented"),
        ("verdict reject", "right"),
    ]


def test_another_verdict_or_none_is_wrong():
    assert said(TEXT, [], "usable")[-1] == ("verdict reject", "wrong")
    assert said("What a picture.", [], "good") == [("verdict not given", "wrong")]


def test_a_fine_image_described_as_fine_has_no_mark_but_its_verdict():
    text = "No degradation is visible. Overall, the quality of this image is good."
    assert said(text, [], "good") == [("verdict good", "right")]
