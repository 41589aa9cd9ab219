import numpy as np
import pytest

from medq_engine.degradations import for_modality
from medq_engine.language import (
    NO_DEGRADATION,
    QUALITY_OPTIONS,
    Finding,
    answer,
    labels,
    pick_options,
    prompt,
    quality_question,
    question,
    reply,
    unlike,
    verdict_of,
    worst,
)
from medq_engine.vocabulary import MODALITIES

EVERY_FINDING = [
    (modality, Finding(label, severity))
    for modality in MODALITIES
    for label in labels(modality)
    for severity in ("mild", "severe")
]


@pytest.mark.parametrize(
    ("severities", "verdict"),
    [
        ([], "good"),
        (["mild"], "usable"),
        (["mild", "mild"], "usable"),
        (["severe"], "reject"),
        (["mild", "severe"], "reject"),
        (["mild", "mild", "mild"], "reject"),
    ],
)
def test_many_or_severe_is_reject_minor_is_usable_none_is_good(severities, verdict):
    assert verdict_of([Finding("blur", severity) for severity in severities]) == verdict


@pytest.mark.parametrize(
    ("severities", "severity"),
    [([], "none"), (["mild", "mild"], "mild"), (["mild", "severe"], "severe")],
)
def test_the_worst_severity(severities, severity):
    assert worst([Finding("blur", s) for s in severities]) == severity


def test_two_findings_are_the_same_wherever_they_lie():
    assert Finding("blur", "mild", "on the left") == Finding("blur", "mild")


def test_what_looks_alike_is_not_offered_beside():
    beside = unlike("mri", ["blur"])
    families = {degradation.label: degradation.family for degradation in for_modality("mri")}
    assert "blur" not in beside
    assert set(beside) == {label for label in families if families[label] != families["blur"]}
    assert set(unlike("mri", [])) == set(labels("mri"))


def test_answers_follow_from_the_findings():
    findings = [Finding("blur", "mild"), Finding("aliasing", "severe")]
    assert answer("yes-no", findings, "blur") == "Yes"
    assert answer("yes-no", findings, "bias field") == "No"
    # The most severe is the most visible.
    assert answer("what", findings) == "aliasing"
    assert answer("how", findings) == "Severe"
    # Of several, the question means one that it offers.
    assert answer("what", findings, options=(NO_DEGRADATION, "blur", "zipper")) == "blur"
    assert answer("what", findings, options=(NO_DEGRADATION, "zipper")) == NO_DEGRADATION
    assert answer("what", []) == NO_DEGRADATION
    assert answer("how", findings, options=QUALITY_OPTIONS) == "Reject"
    assert answer("how", [], options=QUALITY_OPTIONS) == "Good"
    assert answer("how", []) == "None"


@pytest.mark.parametrize(("modality", "finding"), EVERY_FINDING)
@pytest.mark.parametrize("kind", ["yes-no", "what", "how"])
def test_every_right_answer_is_among_the_options(kind, modality, finding):
    text, options = question(kind, modality, finding.label)
    assert answer(kind, [finding], finding.label) in options
    assert answer(kind, [], finding.label) in options
    assert len(set(options)) == len(options)
    assert text.endswith("image?")


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_options_hold_the_truth_and_nothing_that_looks_like_it(modality):
    family = {degradation.label: degradation.family for degradation in for_modality(modality)}
    for truth in (NO_DEGRADATION, *labels(modality)):
        findings = () if truth == NO_DEGRADATION else (Finding(truth, "mild"),)
        for seed in range(5):
            options = pick_options(modality, findings, np.random.default_rng(seed))
            assert {truth, NO_DEGRADATION} <= set(options)
            offered = [family[option] for option in options if option != NO_DEGRADATION]
            assert len(offered) == len(set(offered))
            assert len(options) == 4


def test_a_second_fault_of_the_image_is_no_distractor():
    findings = (Finding("blur", "severe"), Finding("ring artifact", "mild"))
    for seed in range(20):
        options = pick_options("ct", findings, np.random.default_rng(seed))
        assert "blur" in options
        assert "ring artifact" not in options


def test_the_place_of_the_truth_among_the_options_says_nothing():
    rng, findings = np.random.default_rng(0), (Finding("blur", "mild"),)
    places = [pick_options("ct", findings, rng).index("blur") for _ in range(800)]
    assert np.bincount(places, minlength=4).min() > 150


def test_the_quality_question_offers_the_verdicts():
    text, options = quality_question("mri")
    assert "MRI" in text
    assert options == ("Good", "Usable", "Reject")


def test_a_prompt_lists_the_options_and_an_open_question_stands_alone():
    assert prompt("Q?", ("Yes", "No")) == "Q?\nYes\nNo\nAnswer with one option."
    assert prompt("Describe it.", ()) == "Describe it."


def test_options_are_lettered_where_the_answer_is_a_letter():
    expected = "Q?\nA. Yes\nB. No\nAnswer with the letter of one option only."
    assert prompt("Q?", ("Yes", "No"), "letter") == expected
    assert prompt("Describe it.", (), "letter") == "Describe it."


def test_a_reply_is_the_option_or_its_letter_and_a_description_is_itself():
    assert reply(("Yes", "No"), "No") == "No"
    assert [reply(("Yes", "No"), option, "letter") for option in ("Yes", "No")] == ["A", "B"]
    assert reply((), "All is well.", "letter") == "All is well."


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_option_of_the_longest_question_has_a_letter(modality):
    text, options = question("what", modality)
    asked = prompt(text, options, "letter")
    assert all(f"\n{reply(options, option, 'letter')}. {option}\n" in asked for option in options)
