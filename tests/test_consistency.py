import numpy as np
import pytest

from medq_engine.consistency import description_consistency, statements
from medq_engine.descriptions import describe
from medq_engine.language import Finding

BLUR = [Finding("blur", "mild")]


def test_what_a_text_states():
    text = describe("mri", [Finding("blur", "mild", "at the top")])
    assert statements(text, "mri") == {
        ("fault", "blur"),
        ("severity", "blur", "mild"),
        ("verdict", "usable"),
    }
    assert statements(describe("mri", []), "mri") == {
        ("fault", "no degradation"),
        ("verdict", "good"),
    }
    assert statements("A picture of a head.", "mri") == frozenset()


def test_other_words_for_the_same_findings_are_consistent():
    rng = np.random.default_rng(0)
    texts = [describe("mri", BLUR, "brain", rng) for _ in range(4)]
    assert len(set(texts)) > 1
    assert description_consistency(texts, "mri") == 1.0


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        # Of blur, its severity and the verdict, both say "blur": 1 of 5 statements.
        pytest.param([Finding("blur", "severe")], 1 / 5, id="other severity"),
        # Both say "usable": 1 of 5.
        pytest.param([Finding("aliasing", "mild")], 1 / 5, id="other fault"),
        # One adds a fault and its severity: 3 of 5.
        pytest.param([*BLUR, Finding("aliasing", "mild")], 3 / 5, id="one fault more"),
        pytest.param([], 0.0, id="no fault"),
    ],
)
def test_a_pair_agrees_by_the_statements_that_it_shares(other, expected):
    texts = [describe("mri", BLUR), describe("mri", other)]
    assert description_consistency(texts, "mri") == pytest.approx(expected)
    assert description_consistency(texts[::-1], "mri") == pytest.approx(expected)


def test_several_texts_are_the_mean_of_their_pairs():
    texts = [describe("mri", BLUR), describe("mri", BLUR), describe("mri", [])]
    assert description_consistency(texts, "mri") == pytest.approx((1 + 0 + 0) / 3)


def test_texts_that_state_nothing_agree_with_none():
    assert description_consistency(["", "A head."], "mri") == 0.0
    assert description_consistency(["", describe("mri", BLUR)], "mri") == 0.0


def test_one_text_has_nothing_to_agree_with():
    with pytest.raises(ValueError, match="at least two descriptions, not 1"):
        description_consistency([""], "mri")
