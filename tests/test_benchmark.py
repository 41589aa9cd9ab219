from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from medq_engine.benchmark import coverage, items_of
from medq_engine.degradations import DEGRADATIONS, for_modality
from medq_engine.descriptions import FIRST, SECOND, findings_in, verdict_in
from medq_engine.language import (
    NO_DEGRADATION,
    QUALITY_OPTIONS,
    SEVERITY_OPTIONS,
    Finding,
    answer,
    verdict_of,
)
from medq_engine.tables import ITEM, table
from medq_engine.vocabulary import MODALITIES
from medq_engine.worlds import Made, covering_plan, names_by_modality

PLAN = covering_plan(names_by_modality(list(DEGRADATIONS)), 1200, 1)


def made(modality: str, position: int, findings: tuple[Finding, ...]) -> Made:
    name = f"{modality}{position}"
    record = {"image_id": name, "modality": modality, "subject_id": name, "origin": "phantom"}
    return Made(record, f"{modality}-scene{position // 2}", "brain", (), findings)


@pytest.fixture(scope="module")
def records() -> list[Made]:
    return [made(m, i, findings) for m in MODALITIES for i, findings in enumerate(PLAN[m])]


@pytest.fixture(scope="module")
def items(records) -> pl.DataFrame:
    return table(items_of(records, "test", 1), ITEM)


def asked(items: pl.DataFrame, kind: str, modality: str) -> list[dict[str, object]]:
    here = items.filter(pl.col("question_type") == kind, pl.col("modality") == modality)
    return here.to_dicts()


def truth_of(item: dict[str, object]) -> list[Finding]:
    return [Finding(**finding) for finding in item["findings"]]


def test_items_have_ids_of_their_own_and_every_image_is_asked(items, records):
    assert items["item_id"].is_unique().all()
    for kind in ("yes-no", "how"):
        assert len(items.filter(pl.col("question_type") == kind)) == len(records)


@pytest.mark.parametrize("modality", MODALITIES)
def test_yes_and_no_are_equally_frequent_for_every_fault(items, modality):
    given = defaultdict(Counter)
    for item in asked(items, "yes-no", modality):
        given[item["attribute"]][item["answer"]] += 1
    total = sum(given.values(), Counter())
    assert abs(total["Yes"] - total["No"]) <= 0.06 * total.total()
    # Without balance by fault a frequent fault would give its answer away.
    assert all(abs(counts["Yes"] - counts["No"]) <= 3 for counts in given.values())


@pytest.mark.parametrize("modality", MODALITIES)
def test_an_offered_fault_is_equally_often_right_whatever_it_is(items, modality):
    offered, right = Counter(), Counter()
    for item in asked(items, "what", modality):
        offered.update(item["options"])
        right[item["answer"]] += 1
    assert set(offered) == {NO_DEGRADATION} | {d.label for d in for_modality(modality)}
    shares = {label: right[label] / offered[label] for label in offered}
    assert shares[NO_DEGRADATION] == pytest.approx(0.25, abs=0.02)
    assert all(0.15 < share < 0.35 for share in shares.values())


@pytest.mark.parametrize("options", [SEVERITY_OPTIONS, QUALITY_OPTIONS])
def test_each_degree_is_right_in_a_third(items, options):
    here = items.filter(pl.col("options") == list(options), pl.col("question_type") == "how")
    shares = here["answer"].value_counts(normalize=True)["proportion"]
    assert len(here) == pytest.approx(600, abs=10)
    assert shares.to_numpy() == pytest.approx(np.full(3, 1 / 3), abs=0.03)


def test_distractors_are_never_also_true_and_do_not_look_like_it(items):
    for modality in MODALITIES:
        family = {d.label: d.family for d in for_modality(modality)}
        for item in asked(items, "what", modality):
            options = [option for option in item["options"] if option != NO_DEGRADATION]
            seen = {finding.label for finding in truth_of(item)}
            assert len(item["options"]) == len(set(item["options"])) == 4
            assert item["answer"] in item["options"]
            wrong = {family[option] for option in options if option != item["answer"]}
            assert len(wrong) == len([o for o in options if o != item["answer"]])
            assert not wrong & {family[label] for label in seen}


def test_an_absent_fault_that_is_asked_about_looks_like_nothing_in_the_image(items):
    for modality in MODALITIES:
        family = {d.label: d.family for d in for_modality(modality)}
        for item in asked(items, "yes-no", modality):
            families = {family[finding.label] for finding in truth_of(item)}
            assert item["attribute"] in item["question"]
            assert (item["answer"] == "Yes") == (family[item["attribute"]] in families)


def test_a_fault_that_the_scene_has_by_itself_is_neither_asked_about_nor_offered():
    fine = [made("endoscopy", i, ()) for i in range(120)]
    own = [replace(one, shows=("instrument occlusion",)) for one in fine]
    offered = [
        {
            label
            for row in items_of(records, "test", 1)
            for label in [*row["options"], row["attribute"]]
        }
        for records in (fine, own)
    ]
    assert "instrument occlusion" in offered[0]
    assert "instrument occlusion" not in offered[1]


def test_answers_and_verdicts_follow_from_the_findings(items):
    for item in items.filter(pl.col("task") == "perception").iter_rows(named=True):
        findings = truth_of(item)
        assert item["verdict"] == verdict_of(findings)
        assert item["answer"] == answer(
            item["question_type"], findings, item["attribute"], item["options"]
        )


def test_one_record_in_three_is_described_and_its_structure_stands_beside_the_text(items):
    here = items.filter(pl.col("task") == "description")
    assert len(here) == 400
    for item in here.iter_rows(named=True):
        assert set(findings_in(item["reference"], item["modality"])) == set(truth_of(item))
        assert verdict_in(item["reference"]) == item["verdict"]
    assert here["reference"].str.slice(0, 12).n_unique() > 2


def test_pairs_show_one_scene_and_the_better_one_comes_first_in_half(items, records):
    scene = {one.record["image_id"]: one for one in records}
    here = items.filter(pl.col("task") == "comparison")
    assert set(here["question_type"]) == {"coarse-grained", "fine-grained"}
    for item in here.iter_rows(named=True):
        pair = [scene[image_id] for image_id in item["image_ids"]]
        assert pair[0].scene_id == pair[1].scene_id
        better, worse = pair if item["answer"] == FIRST else pair[::-1]
        levels = ("good", "usable", "reject")
        apart = [levels.index(verdict_of(one.findings)) for one in (better, worse)]
        assert apart[0] < apart[1] or len(better.findings) < len(worse.findings)
        assert (item["question_type"] == "coarse-grained") == (apart == [0, 2])
    first = (here["answer"] == FIRST).mean()
    assert first == pytest.approx(0.5, abs=0.02)
    assert SECOND in set(here["answer"])


def test_scope_is_that_of_the_fault_asked_about():
    rows = items_of([made("mri", 0, (Finding("aliasing", "mild"),))], "dev", 1)
    assert next(r for r in rows if r["question_type"] == "what")["scope"] == "modality-specific"
    rows = items_of([made("mri", i, ()) for i in range(3)], "dev", 1)
    assert next(r for r in rows if r["question_type"] == "what")["scope"] == "general"


def test_items_are_seeded_by_split_and_seed(records):
    few = records[:60]
    first = items_of(few, "dev", 1)
    assert items_of(few, "dev", 1) == first
    assert items_of(few, "dev", 2) != first != items_of(few, "gate", 1)


def test_coverage_counts_what_is_there_and_names_what_is_missing(items):
    names = names_by_modality(list(DEGRADATIONS))
    found = coverage(items, names)
    assert found["missing"] == ""
    assert found["cells"] == 2 * sum(map(len, names.values()))
    assert found["fewest"] > 1
    assert found["images"] == {"phantom": 1200}
    assert found["items"]["description"] == 400
    fine = items.filter(pl.col("severity") == "none")
    assert coverage(fine, {"mri": ["aliasing"]})["missing"] == (
        "mri, aliasing, mild; mri, aliasing, severe"
    )
