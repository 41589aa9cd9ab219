import numpy as np
import pytest

from medq_engine.descriptions import (
    FIRST,
    PLACES,
    SECOND,
    compare,
    denies,
    describe,
    findings_in,
    turns,
    verdict_in,
)
from medq_engine.language import NO_DEGRADATION, Finding, labels, verdict_of
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
    assert findings_in(text, modality) == (finding,)
    assert verdict_in(text) == verdict_of([finding])


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_description_of_every_fault_at_once_is_read_back(modality):
    # Labels that contain each other ("blur", "defocus blur") must not be taken for one another.
    severities = ("mild", "severe")
    findings = tuple(Finding(x, severities[i % 2]) for i, x in enumerate(labels(modality)))
    assert findings_in(describe(modality, findings), modality) == findings


def test_a_description_uses_the_right_article():
    starts = {modality: describe(modality, []).split(" image")[0] for modality in MODALITIES}
    assert starts["mri"] == "This is an MRI"
    assert starts["endoscopy"] == "This is an endoscopy"
    assert starts["ct"] == "This is a CT"


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_fine_image_is_described_as_good_without_findings(modality):
    text = describe(modality, [])
    assert NO_DEGRADATION in text.lower()
    assert findings_in(text, modality) == ()
    assert verdict_in(text) == "good"


def test_a_fault_of_another_modality_is_not_read():
    assert findings_in("There is severe metal streak.", "mri") == ()


def test_reading_ignores_case_and_wants_whole_words():
    assert findings_in("There is SEVERE Aliasing.", "mri") == (Finding("aliasing", "severe"),)
    assert findings_in("There is severe blurring.", "mri") == ()


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
    assert findings_in(text, "mri") == expected


def test_a_denial_of_one_fault_is_no_denial_of_all():
    assert denies("NO DEGRADATION is visible.")
    assert denies(describe("ct", []))
    assert not denies("There is no severe aliasing.")
    assert not denies(describe("ct", [Finding("blur", "mild")]))


def test_the_last_verdict_counts_and_none_is_none():
    text = "The quality of this image is good. Overall, the quality of this image is reject."
    assert verdict_in(text) == "reject"
    assert verdict_in("A blurred image.") is None
    assert verdict_in("The quality of this image is goodish.") is None


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("modality", MODALITIES)
def test_every_phrasing_is_read_back_with_its_places(modality, seed):
    rng = np.random.default_rng(seed)
    chosen = rng.choice(labels(modality), size=2, replace=False)
    findings = [Finding(str(x), "mild", str(rng.choice(PLACES))) for x in chosen]
    for true in (findings, findings[:1], []):
        text = describe(modality, true, "brain", rng)
        read = findings_in(text, modality)
        assert {(f.label, f.severity, f.place) for f in read} == {
            (f.label, f.severity, f.place) for f in true
        }
        assert denies(text) == (not true)
        assert verdict_in(text) == verdict_of(true)
        assert " of the brain" in text


def test_phrasings_vary_with_the_seed_and_the_first_is_the_one_without():
    finding = [Finding("blur", "mild")]
    texts = {describe("ct", finding, rng=np.random.default_rng(seed)) for seed in range(40)}
    assert len(texts) > 20
    assert describe("ct", finding) == describe("ct", finding)


def test_a_description_goes_from_the_whole_to_the_fault_to_the_verdict():
    text = describe("ct", [Finding("low-dose noise", "severe", "throughout the image")], "chest")
    order = [
        "CT image of the chest",
        "noise is high",
        "severe low-dose noise throughout",
        "not fit for diagnosis",
        "Overall, the quality of this image is reject.",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "contrast is good" in text


def test_a_comparison_says_what_each_image_shows_and_which_is_better():
    text = compare("mri", [Finding("aliasing", "severe")], [], "brain", SECOND)
    assert text.startswith("Both are MRI images of the brain.")
    assert f"The {FIRST} shows severe aliasing; its quality is reject." in text
    assert f"The {SECOND} shows {NO_DEGRADATION}; its quality is good." in text
    assert text.endswith(f"Overall, the {SECOND} has the better quality.")


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
    assert [turn.answer for turn in made[:-1]] == ["No", NO_DEGRADATION, "None", "Good"]
