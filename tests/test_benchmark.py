import numpy as np
import pytest

from medq_engine.benchmark import FINE_SHARE, items_of
from medq_engine.degradations import DEGRADATIONS
from medq_engine.language import NO_DEGRADATION, Finding, labels, parse_findings, parse_verdict
from medq_engine.simulation import draw_findings, seeded
from medq_engine.tables import ITEM, table
from medq_engine.vocabulary import MODALITIES
from medq_engine.worlds import Made, benchmark_shares, names_by_modality

SHARES = benchmark_shares(names_by_modality(list(DEGRADATIONS)), FINE_SHARE)


def made(index: int, findings: tuple[Finding, ...] | None = None, modality: str = "") -> Made:
    modality = modality or MODALITIES[index % 5]
    if findings is None:
        findings = draw_findings(modality, SHARES[modality], seeded("test", index))
    record = {"image_id": f"i{index}", "modality": modality, "subject_id": f"s{index}"}
    return Made(record | {"origin": "phantom"}, f"scene{index}", findings)


@pytest.fixture(scope="module")
def items() -> list[dict[str, object]]:
    return [row for index in range(1500) for row in items_of(made(index), "dev", 1)]


def test_each_image_has_one_item_of_every_kind(items):
    frame = table(items, ITEM)
    assert frame["item_id"].is_unique().all()
    kinds = ("yes-no", "what", "how", "description")
    assert [row["item_id"] for row in items[:4]] == [f"i0-{kind}" for kind in kinds]


@pytest.mark.parametrize("modality", [None, *MODALITIES])
def test_yes_and_no_are_equally_frequent(items, modality):
    answers = [
        row["answer"]
        for row in items
        if row["question_type"] == "yes-no" and modality in (None, row["modality"])
    ]
    bound = 4 * np.sqrt(0.25 / len(answers))
    assert np.mean([answer == "Yes" for answer in answers]) == pytest.approx(0.5, abs=bound)


def test_what_options_always_hold_the_truth_and_no_degradation_once(items):
    for row in items:
        if row["question_type"] == "what":
            assert len(row["options"]) == len(set(row["options"])) == 4
            assert {row["answer"], NO_DEGRADATION} <= set(row["options"])


def test_truth_answer_reference_and_slices_agree(items):
    for row in items:
        findings = parse_findings(row["reference"], row["modality"])
        assert row["verdict"] == parse_verdict(row["reference"])
        assert row["severity"] == (findings[0].severity if findings else "none")
        truth = findings[0].label if findings else NO_DEGRADATION
        if row["question_type"] == "what":
            assert row["answer"] == truth
        if row["question_type"] == "how":
            assert row["answer"] == row["severity"].capitalize()
        if row["question_type"] == "yes-no":
            assert (row["answer"] == "Yes") == (row["attribute"] == truth)
            assert row["attribute"] in row["question"]


def test_a_yes_no_question_about_an_absent_fault_names_one_of_the_modality(items):
    for row in items:
        if row["question_type"] == "yes-no":
            assert row["attribute"] in labels(row["modality"])


def test_scope_is_that_of_the_fault_asked_about():
    rows = items_of(made(0, (Finding("aliasing", "mild"),), "mri"), "dev", 1)
    assert next(r for r in rows if r["question_type"] == "what")["scope"] == "modality-specific"
    rows = items_of(made(0, (), "mri"), "dev", 1)
    assert next(r for r in rows if r["question_type"] == "what")["scope"] == "general"


def test_items_are_seeded_by_split_seed_and_image():
    first = items_of(made(3), "dev", 1)
    assert items_of(made(3), "dev", 1) == first
    others = [items_of(made(index), "dev", 2) for index in range(20)]
    assert others != [items_of(made(index), "dev", 1) for index in range(20)]
