import pytest

from medq_engine.descriptions import describe, findings_in
from medq_engine.judge import AXES, judge
from medq_engine.language import Finding, verdict_of

MILD = describe("mri", [Finding("aliasing", "mild")])
SEVERE = describe("mri", [Finding("aliasing", "severe")])
BOTH = describe("mri", [Finding("aliasing", "severe"), Finding("blur", "mild")])
FINE = describe("mri", [])


def judged(text, reference):
    true = findings_in(reference, "mri")
    return vars(judge(text, true, verdict_of(true), "mri"))


@pytest.mark.parametrize("reference", [MILD, SEVERE, BOTH, FINE])
def test_the_reference_itself_is_perfect(reference):
    assert set(judged(reference, reference).values()) == {2}


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        pytest.param("", MILD, (0, 0, 0, 0), id="empty text"),
        pytest.param("", FINE, (0, 0, 0, 0), id="empty text on a fine image"),
        pytest.param("A picture of a head.", MILD, (0, 0, 0, 0), id="says nothing of quality"),
        # Right fault, wrong severity: a part is there, a minor contradiction, one level off.
        pytest.param(SEVERE, MILD, (1, 1, 2, 1), id="wrong severity"),
        pytest.param(
            describe("mri", [Finding("bias field", "mild")]),
            MILD,
            (0, 0, 2, 2),
            id="another fault of the same severity",
        ),
        pytest.param(BOTH, SEVERE, (2, 0, 2, 2), id="hallucinated fault beside the right one"),
        pytest.param(SEVERE, BOTH, (1, 2, 2, 2), id="one of two faults"),
        pytest.param(FINE, MILD, (0, 0, 2, 1), id="denial of a mild fault"),
        pytest.param(FINE, SEVERE, (0, 0, 2, 0), id="denial of a severe fault"),
        pytest.param(MILD, FINE, (0, 0, 2, 1), id="hallucination on a fine image"),
        pytest.param(
            "There is severe aliasing. Overall, the quality of this image is good.",
            SEVERE,
            (2, 2, 0, 0),
            id="verdict against its own finding",
        ),
        pytest.param("There is severe aliasing.", SEVERE, (2, 2, 0, 0), id="no verdict"),
        pytest.param(
            "Overall, the quality of this image is good.",
            FINE,
            (0, 0, 0, 2),
            id="a verdict without a finding or a denial",
        ),
        pytest.param(
            "No degradation is visible. There is mild aliasing. "
            "Overall, the quality of this image is usable.",
            MILD,
            (2, 0, 2, 2),
            id="names the fault and denies it",
        ),
    ],
)
def test_axes(text, reference, expected):
    assert judged(text, reference) == dict(zip(AXES, expected, strict=True))
