import numpy as np
import pytest

from medq_engine.annotators import (
    EXPERT_NAME,
    baselines,
    draft_answer,
    draft_answers,
    expert_reading,
)
from medq_engine.language import Finding, answer, labels, question
from medq_engine.tables import DRAFT, ITEM, table

TRUTH = (Finding("ring artifact", "mild"),)
ACCURACY = {"yes-no": 0.78, "what": 0.5, "how": 0.57}


@pytest.mark.parametrize("kind", ["yes-no", "what", "how"])
def test_drafts_are_right_as_often_as_declared_and_else_a_wrong_option(kind):
    text, options = question(kind, "ct", "ring artifact")
    truth = answer(kind, TRUTH, "ring artifact")
    given = [
        draft_answer(f"image{index}", text, options, truth, ACCURACY[kind], seed=1)
        for index in range(2000)
    ]
    p = ACCURACY[kind]
    bound = 4 * np.sqrt(p * (1 - p) / 2000)
    assert np.mean([answer == truth for answer in given]) == pytest.approx(p, abs=bound)
    assert set(given) == set(options)


@pytest.mark.parametrize(("accuracy", "right"), [(1.0, True), (0.0, False)])
def test_a_sure_or_hopeless_draft_is_always_right_or_wrong(accuracy, right):
    given = [draft_answer(str(i), "Q", ("A", "B", "C"), "A", accuracy, 1) for i in range(50)]
    assert {answer == "A" for answer in given} == {right}


def test_a_draft_depends_on_image_question_and_seed_alone():
    def drawn(seed: int) -> list[str]:
        options = tuple("ABCDEFGH")
        return [draft_answer(str(i), "Q", options, "A", 0.1, seed) for i in range(20)]

    assert drawn(1) == drawn(1) != drawn(2)


def test_drafts_answer_every_question_that_a_task_can_ask():
    rows = draft_answers("image", "ct", TRUTH, ACCURACY, seed=1)
    asked = {row["question"] for row in table(rows, DRAFT).iter_rows(named=True)}
    expected = {question("yes-no", "ct", label)[0] for label in labels("ct")}
    assert asked == expected | {question("what", "ct")[0], question("how", "ct")[0]}
    assert len(rows) == len(asked)


def test_the_draft_annotator_says_that_it_is_simulated():
    rows = draft_answers("image", "ct", TRUTH, ACCURACY, seed=1)
    assert all("simulated" in row["annotator"] for row in rows)
    assert "simulated" in EXPERT_NAME


def test_expert_reads_an_image_the_same_way_every_time():
    readings = [expert_reading(f"i{n}", "ct", TRUTH, 0.5, seed=1) for n in range(30)]
    assert readings == [expert_reading(f"i{n}", "ct", TRUTH, 0.5, seed=1) for n in range(30)]
    assert len(set(readings)) > 1


def test_expert_reads_right_as_often_as_declared():
    readings = [expert_reading(f"i{n}", "ct", TRUTH, 0.9, seed=1) for n in range(1500)]
    bound = 4 * np.sqrt(0.9 * 0.1 / 1500)
    assert np.mean([r == TRUTH for r in readings]) == pytest.approx(0.9, abs=bound)
    assert all(expert_reading(f"i{n}", "ct", TRUTH, 0.0, seed=1) != TRUTH for n in range(50))


def test_experts_of_other_names_have_errors_of_their_own():
    def readings(name: str) -> list[tuple[Finding, ...]]:
        return [expert_reading(f"i{n}", "ct", TRUTH, 0.5, seed=1, name=name) for n in range(30)]

    assert readings(EXPERT_NAME) == readings(EXPERT_NAME) != readings("second expert (simulated)")


def test_of_two_faults_the_expert_names_the_one_that_is_offered(item_row):
    findings = [
        {"label": label, "severity": severity, "place": ""}
        for label, severity in (("aliasing", "severe"), ("blur", "mild"))
    ]
    what = {"question_type": "what", "findings": findings, "attribute": "blur", "answer": "blur"}
    items = table([item_row("a", **what, options=["blur", "zipper artifact"])], ITEM)
    found = baselines(items, {"what": 0.5}, 1.0, seed=1)
    assert found["simulated expert"]["accuracy"] == 1.0


def test_baselines_measure_both_annotators_on_perception_items(item_row):
    rows = [item_row(f"{n}", image_ids=[f"image{n}"]) for n in range(400)]
    rows.append(item_row("open", task="description", question_type="", options=[], answer=""))
    items = table(rows, ITEM)
    found = baselines(items, {"yes-no": 0.75}, 1.0, seed=1)
    assert found["simulated GPT-4o"]["items"] == 400
    bound = 4 * np.sqrt(0.75 * 0.25 / 400)
    assert found["simulated GPT-4o"]["accuracy"] == pytest.approx(0.75, abs=bound)
    assert found["simulated expert"]["accuracy"] == 1.0
    assert found["simulated expert"]["accuracy_by"] == {"question_type": {"yes-no": 1.0}}
