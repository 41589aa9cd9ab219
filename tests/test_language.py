import numpy as np
import pytest

from medq_engine.language import (
    DESCRIBE,
    NO_DEGRADATION,
    Finding,
    answer,
    denies,
    describe,
    labels,
    parse_findings,
    parse_verdict,
    pick_options,
    prompt,
    question,
    turns,
    verdict_of,
)
from medq_engine.vocabulary import MODALITIES

EVERY_FINDING = [
    (modality, Finding(label, severity))
    for modality in MODALITIES
    for label in labels(modality)
    for severity in ("mild", "severe")
]


@pytest.mark.parametrize(("modality", "finding"), EVERY_FINDING)
def test_a_description_of_one_finding_is_read_back(modality, finding):
    text = describe(modality, [finding])
    assert parse_findings(text, modality) == (finding,)
    assert parse_verdict(text) == verdict_of([finding])


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_description_of_every_fault_at_once_is_read_back(modality):
    # Labels that contain each other ("blur", "defocus blur") must not be taken for one another.
    severities = ("mild", "severe")
    findings = tuple(Finding(x, severities[i % 2]) for i, x in enumerate(labels(modality)))
    assert parse_findings(describe(modality, findings), modality) == findings


def test_a_description_uses_the_right_article():
    starts = {modality: describe(modality, []).split(" image")[0] for modality in MODALITIES}
    assert starts["mri"] == "This is an MRI"
    assert starts["endoscopy"] == "This is an endoscopy"
    assert starts["ct"] == "This is a CT"


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_fine_image_is_described_as_good_without_findings(modality):
    text = describe(modality, [])
    assert NO_DEGRADATION in text.lower()
    assert parse_findings(text, modality) == ()
    assert parse_verdict(text) == "good"


def test_a_fault_of_another_modality_is_not_read():
    assert parse_findings("There is severe metal streak.", "mri") == ()


def test_reading_ignores_case_and_wants_whole_words():
    assert parse_findings("There is SEVERE Aliasing.", "mri") == (Finding("aliasing", "severe"),)
    assert parse_findings("There is severe blurring.", "mri") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("There is no severe aliasing.", ()),
        ("No mild aliasing is seen.", ()),
        ("An image without severe aliasing.", ()),
        ("There is no severe aliasing, but mild aliasing.", (Finding("aliasing", "mild"),)),
        ("There is no mild or severe aliasing.", ()),
        ("The image is not severely affected, not severe aliasing.", ()),
        ("There is no noise, mild aliasing.", (Finding("aliasing", "mild"),)),
        ("No noise is seen. There is mild aliasing.", (Finding("aliasing", "mild"),)),
        ("In the piano severe aliasing.", (Finding("aliasing", "severe"),)),
    ],
)
def test_a_denied_finding_is_no_finding(text, expected):
    assert parse_findings(text, "mri") == expected


def test_a_denial_of_one_fault_is_no_denial_of_all():
    assert denies("NO DEGRADATION is visible.")
    assert denies(describe("ct", []))
    assert not denies("There is no severe aliasing.")
    assert not denies(describe("ct", [Finding("blur", "mild")]))


def test_the_last_verdict_counts_and_none_is_none():
    text = "The quality of this image is good. Overall, the quality of this image is reject."
    assert parse_verdict(text) == "reject"
    assert parse_verdict("A blurred image.") is None
    assert parse_verdict("The quality of this image is goodish.") is None


@pytest.mark.parametrize(
    ("severities", "verdict"),
    [
        ([], "good"),
        (["mild"], "usable"),
        (["mild", "mild"], "usable"),
        (["severe"], "reject"),
        (["mild", "severe"], "reject"),
    ],
)
def test_the_worst_finding_makes_the_verdict(severities, verdict):
    assert verdict_of([Finding("blur", severity) for severity in severities]) == verdict


def test_answers_follow_from_the_findings():
    findings = [Finding("blur", "mild"), Finding("aliasing", "severe")]
    assert answer("yes-no", findings, "blur") == "Yes"
    assert answer("yes-no", findings, "bias field") == "No"
    # The most severe is the most visible.
    assert answer("what", findings) == "aliasing"
    assert answer("how", findings) == "Severe"
    assert answer("what", []) == NO_DEGRADATION
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
def test_what_options_hold_the_truth_and_no_degradation_once(modality):
    for truth in (NO_DEGRADATION, *labels(modality)):
        for seed in range(5):
            options = pick_options(modality, truth, np.random.default_rng(seed))
            assert len(options) == len(set(options)) == 4
            assert {truth, NO_DEGRADATION} <= set(options) <= {NO_DEGRADATION, *labels(modality)}


def test_the_place_of_the_truth_among_the_options_says_nothing():
    rng = np.random.default_rng(0)
    places = [pick_options("ct", "blur", rng).index("blur") for _ in range(800)]
    assert np.bincount(places, minlength=4).min() > 150


def test_a_prompt_lists_the_options_and_an_open_question_stands_alone():
    assert prompt("Q?", ("Yes", "No")) == "Q?\nYes\nNo\nAnswer with one option."
    assert prompt(DESCRIBE, ()) == DESCRIBE


def test_turns_teach_one_present_and_one_absent_fault_and_the_description():
    finding = Finding("ring artifact", "severe")
    for seed in range(10):
        made = turns("ct", [finding], np.random.default_rng(seed))
        by_answer = {turn.answer: turn for turn in made if turn.options == ("Yes", "No")}
        assert finding.label in by_answer["Yes"].question
        assert finding.label not in by_answer["No"].question
        assert made[-1].answer == describe("ct", [finding])
        assert made[-1].options == ()
        assert all(turn.answer in turn.options for turn in made[:-1])


def test_turns_of_a_fine_image_ask_about_an_absent_fault_only():
    made = turns("fundus", [], np.random.default_rng(0))
    assert [turn.answer for turn in made[:-1]] == ["No", NO_DEGRADATION, "None"]
