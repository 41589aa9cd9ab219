from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from medq_engine.annotations import OPTIONAL
from medq_engine.config import AnnotateImport, Costs, RouteParams
from medq_engine.descriptions import describe
from medq_engine.labelling import (
    Held,
    accept,
    arm_yield,
    audits_of,
    checked,
    corrections,
    label_of,
    lift,
    rate,
)
from medq_engine.language import Finding
from medq_engine.noise import Audit, Tally
from medq_engine.tables import LABEL, TASK, table

SETTINGS = AnnotateImport(phash_bits=0, text_similarity=0.95, gold_floor=0.7)
PAPER = RouteParams(
    rule="paper",
    noise_target=0.05,
    noise_confidence=0.9,
    entropy_quantile=0.5,
    agreement=0.5,
    expert_share=0.5,
    diminishing=0.5,
    audit_share=0.1,
    gold_share=0.1,
    double_share=0.0,
    control_share=0.0,
)
RISK = replace(PAPER, rule="risk")
COSTS = Costs(currency="USD", person_hour=120.0, draft=0.01, model=0.0)
MILD = describe("mri", [Finding("aliasing", "mild")])


class Pictures(dict):
    """A different picture for every image id, unless two ids are given one picture."""

    def __missing__(self, image_id: str) -> Image.Image:
        rng = np.random.default_rng(list(image_id.encode()))
        return Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))


def full(answers):
    return [OPTIONAL | answer for answer in answers]


def accepted(tasks, answers, history=(), images=None, spent=None, settings=SETTINGS, route=PAPER):
    images = Pictures() if images is None else images
    rng = np.random.default_rng(0)
    labels, tasks = table(history, LABEL), table(tasks, TASK)
    return accept(tasks, full(answers), labels, spent, images, settings, route, COSTS, rng)


def counting(answers):
    """What people settled on, one reading a task."""
    return {answer["task_id"]: OPTIONAL | answer for answer in answers}


def test_each_route_labels_with_its_own_answer(task_row, answer_row):
    expert, draft, model = (task_row(route, route=route) for route in ("expert", "draft", "model"))
    answer = answer_row(expert, answer="No", description="A text.", verdict="reject")
    settled = counting([answer])

    def label(task):
        return label_of(task, settled, {"expert": 45.0})

    assert label(expert)["answer"] == "No"
    assert label(expert)["description"] == "A text."
    assert label(expert)["verdict"] == "reject"
    assert label(expert)["annotator"] == "reader-1"
    assert label(draft)["answer"] == draft["draft"] == "No"
    assert label(model)["answer"] == model["model_answer"] == "Yes"
    assert [label(task)["annotator"] for task in (draft, model)] == ["draft", "model"]
    assert [label(task)["seconds"] for task in (expert, draft, model)] == [45.0, 0.0, 0.0]
    assert [label(task)["verdict"] for task in (draft, model)] == ["", ""]
    assert all(set(label(task)) == set(LABEL) for task in (expert, draft, model))


def test_the_verdict_of_a_label_is_its_own_or_its_descriptions(task_row, answer_row):
    tasks = [task_row(name) for name in "abc"]
    said = [{"verdict": "reject"}, {"description": MILD}, {}]
    answers = [answer_row(task, **fields) for task, fields in zip(tasks, said, strict=True)]
    assert accepted(tasks, answers).labels["verdict"].to_list() == ["reject", "usable", ""]


def test_new_labels_stand_behind_the_history(task_row, answer_row, label_row):
    history = [label_row("old", round=1)]
    tasks = [task_row("a", round=2, route="draft"), task_row("b", round=2)]
    found = accepted(tasks, [answer_row(tasks[1])], history)
    assert found.labels["task_id"].to_list() == ["old", "b", "a"]
    assert dict(found.labels.schema) == LABEL
    assert found.labels[:1].equals(table(history, LABEL))
    assert found.metrics["round"] == 2
    assert found.metrics["total"] == 3
    assert found.metrics["by_route"] == {"draft": 1, "expert": 1}
    assert found.metrics["annotators"] == {"reader-1": 1}


def test_annotators_are_the_people_of_this_round_by_name(task_row, answer_row, label_row):
    tasks = [task_row(name, round=2) for name in "abc"] + [task_row("d", round=2, route="model")]
    names = ["reader-2", "reader-1", "reader-2"]
    answers = [answer_row(t, annotator=n) for t, n in zip(tasks[:3], names, strict=True)]
    found = accepted(tasks, answers, [label_row("old", annotator="reader-0")])
    assert found.metrics["annotators"] == {"reader-1": 1, "reader-2": 2}
    assert list(found.metrics["annotators"]) == ["reader-1", "reader-2"]


def test_without_people_there_are_no_annotators(task_row):
    assert accepted([task_row("a", route="model")], []).metrics["annotators"] == {}


def test_a_repeated_label_is_dropped_and_the_reviewed_one_stays(task_row, answer_row):
    same = Pictures()["x"]
    images = Pictures({"one": same, "two": same})
    draft = task_row("a", image_id="one", route="draft", draft="Yes")
    expert = task_row("b", image_id="two")
    found = accepted([draft, expert], [answer_row(expert)], images=images)
    assert found.labels["task_id"].to_list() == ["b"]
    assert found.metrics["dropped"] == {"duplicates": 1}


def test_a_deferred_task_takes_no_label(task_row):
    tasks = [task_row("a", route="model"), task_row("b", route="deferred")]
    found = accepted(tasks, [])
    assert found.labels["task_id"].to_list() == ["a"]
    assert found.metrics["deferred"] == 1


def test_the_same_answer_about_another_picture_is_kept(task_row):
    tasks = [task_row(name, route="draft") for name in "abc"]
    assert accepted(tasks, []).metrics["round"] == 3


def test_a_repeat_of_an_old_label_is_dropped_and_the_old_one_stays(task_row, label_row):
    same = Pictures()["x"]
    images = Pictures({"image-old": same, "image-new": same})
    found = accepted([task_row("new", round=2, route="model")], [], [label_row("old")], images)
    assert found.labels["task_id"].to_list() == ["old"]
    assert found.metrics["round"] == 0


def test_seconds_are_counted_for_the_round_and_in_all(task_row, answer_row, label_row):
    history = [label_row("old", seconds=90.0)]
    old = task_row("old")
    spent = accepted([old], [answer_row(old, seconds=90.0)]).metrics["ledger"]["total"]
    task = task_row("new", round=2)
    found = accepted([task], [answer_row(task, seconds=30)], history, spent=spent)
    assert found.metrics["expert_seconds"] == 30.0
    assert found.metrics["expert_minutes_total"] == 2.0
    ledger = found.metrics["ledger"]
    assert (ledger["round"]["labels"], ledger["total"]["labels"]) == (1, 2)
    assert ledger["total"]["money"] == pytest.approx(120 / 3600 * 120 + 2 * 0.03)
    assert ledger["currency"] == "USD"


def test_a_round_without_tasks_keeps_the_history(label_row):
    found = accepted([], [], [label_row("old")])
    assert found.labels["task_id"].to_list() == ["old"]
    assert found.metrics["round"] == 0


def test_an_audit_compares_people_with_the_label_that_nobody_would_have_checked(
    task_row, answer_row
):
    # Model says Yes, draft says No, the expert says Yes.
    tasks = [
        task_row("a", audit=True, unreviewed="model", error=0.01),
        task_row("b", audit=True, unreviewed="draft", error=0.02),
        task_row("c", audit=False, unreviewed="expert"),
    ]
    found = audits_of(table(tasks, TASK), counting(answer_row(task) for task in tasks))
    assert found == [
        Audit("yes-no", 0.01, 2, differs=False),
        Audit("yes-no", 0.02, 2, differs=True),
    ]


def test_an_audit_whose_hints_were_opened_first_is_no_witness(task_row, answer_row):
    tasks = [task_row(name, audit=True, unreviewed="draft") for name in "ab"]
    reviewed = counting([answer_row(tasks[0]), answer_row(tasks[1], unblinded=True)])
    assert len(audits_of(table(tasks, TASK), reviewed)) == 1


def test_an_audit_that_nobody_could_judge_is_not_counted(task_row, answer_row):
    task = task_row("a", audit=True, unreviewed="draft")
    unable = answer_row(task, answer="", unjudged="black")
    assert accepted([task], [unable]).metrics["noise"]["audited"] == 0


def round_of(task_row, answer_row, labels, audits, differ, error=0.02):
    """Trusted labels of the model, of which some are audited, and what people say of these."""
    tasks = [
        task_row(f"l{n}", route="model", unreviewed="model", error=error) for n in range(labels)
    ]
    read = [task_row(f"a{n}", audit=True, unreviewed="model", error=error) for n in range(audits)]
    said = [answer_row(t, answer="No" if n < differ else "Yes") for n, t in enumerate(read)]
    return tasks + read, said


GOLD = {"reader-1": {"tasks": 100, "right": 98}}


def noise_of(tasks, said, settings=RISK, gold=GOLD, before=None):
    found = table(tasks, TASK)
    rng = np.random.default_rng(0)
    return checked(found, counting(said), gold, before or Tally(), settings, rng)


def test_few_wrong_labels_are_accepted_with_an_interval_of_how_many(task_row, answer_row):
    found = noise_of(*round_of(task_row, answer_row, 100, 20, 0))
    assert len(found.kept) == 100
    noise = found.noise
    assert (noise["audited"], noise["wrong"], noise["held"]) == (20, 0, 0)
    assert 0 <= noise["low"] < noise["rate"] < noise["high"] < 0.08
    assert noise["rate"] < 0.03
    assert (noise["confidence"], noise["target"]) == (0.9, 0.05)
    assert found.tally["audits"]["yes-no"]["audited"] == 20
    assert found.tally["gold"] == {"tasks": 100, "right": 98}


def test_labels_above_the_tightened_bar_are_held_back(task_row, answer_row):
    tasks, said = round_of(task_row, answer_row, 100, 20, 9, error=0.03)
    sure = [task_row(f"s{n}", route="model", unreviewed="model", error=1e-4) for n in range(50)]
    found = noise_of(tasks + sure, said)
    assert found.noise["held"] >= 90
    assert {f"s{n}" for n in range(50)} <= found.kept
    assert found.noise["rate"] < 0.05


def test_what_is_held_back_takes_no_label(task_row, answer_row):
    tasks, said = round_of(task_row, answer_row, 30, 10, 8, error=0.2)
    metrics = accepted(tasks, said, route=RISK).metrics
    assert metrics["by_route"] == {"expert": 10}
    assert metrics["noise"]["held"] == 30
    assert (metrics["noise"]["rate"], metrics["noise"]["high"]) == (None, 1.0)


def test_the_papers_rule_holds_nothing_back_and_says_how_many_are_wrong(task_row, answer_row):
    found = noise_of(*round_of(task_row, answer_row, 100, 20, 9, error=0.3), settings=PAPER)
    assert len(found.kept) == 100
    assert found.noise["target"] is None
    assert 0.25 < found.noise["rate"] < 0.5
    assert found.noise["low"] < 0.35 < found.noise["high"]


def test_checks_of_earlier_rounds_are_not_forgotten(task_row, answer_row):
    tasks, said = round_of(task_row, answer_row, 100, 5, 0)
    bad = Tally({"yes-no": {"audited": 60, "differ": 20, "expected": 1.2}})
    assert noise_of(tasks, said, PAPER, before=bad).noise["rate"] > (
        2 * noise_of(tasks, said, PAPER).noise["rate"]
    )


def test_the_ledger_keeps_what_later_rounds_must_know(task_row, answer_row):
    tasks, said = round_of(task_row, answer_row, 10, 4, 1)
    first = accepted(tasks, said).metrics["ledger"]["total"]
    assert first["checks"]["audits"]["yes-no"] == pytest.approx(
        {"audited": 4, "differ": 1, "expected": 0.08}
    )
    both = accepted(tasks, said, spent=first).metrics["ledger"]["total"]
    assert both["checks"]["audits"]["yes-no"]["audited"] == 8


def test_without_an_unreviewed_label_the_noise_is_unknown():
    found = noise_of([], [])
    assert (found.noise["rate"], found.noise["low"], found.noise["high"]) == (None, 0.0, 1.0)
    assert not found.kept
    assert rate(0, 0)["rate"] is None


def test_corrections_are_other_answers_than_the_models(task_row, answer_row):
    tasks = [task_row(name) for name in "abc"]
    given = [answer_row(tasks[0]), answer_row(tasks[1], answer="No")]
    assert corrections(table(tasks, TASK), counting(given)) == 1


def test_yield_counts_corrections_by_arm_without_audits(task_row, answer_row):
    tasks = [
        task_row("a", arm="prototype"),
        task_row("b", arm="prototype"),
        task_row("c", arm="control"),
        task_row("d", arm="control", audit=True),
        task_row("e", arm="control", route="draft"),
    ]
    reviewed = counting(answer_row(task, answer="No") for task in tasks[:4])
    reviewed["b"]["answer"] = "Yes"
    found = arm_yield(table(tasks, TASK), reviewed)
    assert (found["prototype"]["labels"], found["prototype"]["corrected"]) == (2, 1)
    assert (found["control"]["labels"], found["control"]["corrected"]) == (1, 1)
    assert found["lift"] == lift((1, 2), (1, 1))


def test_the_lift_is_a_ratio_of_shares_and_never_of_nothing():
    found = lift((40, 100), (10, 100))
    assert found["value"] == pytest.approx(4, rel=0.05)
    assert 2 < found["low"] < found["value"] < found["high"] < 8
    assert lift((5, 10), (0, 10))["high"] > lift((5, 10), (0, 10))["low"] > 0
    assert lift((0, 0), (1, 10)) == {"value": None, "low": None, "high": None}


def test_gold_tasks_take_no_label_and_correct_nothing(task_row, answer_row):
    task = task_row("a")
    gold = task_row("g", gold="No", arm="gold")  # the model says Yes: it is wrong
    found = accepted([task, gold], [answer_row(task), answer_row(gold, answer="No")])
    assert found.labels["task_id"].to_list() == ["a"]
    metrics = found.metrics
    assert metrics["round"] == metrics["total"] == 1
    assert metrics["by_route"] == {"expert": 1}
    assert metrics["yield"]["prototype"]["labels"] == 1
    assert metrics["ledger"]["random"]["bought"] == 0
    assert metrics["ledger"]["random"]["labels"] == 1
    assert metrics["expert_seconds"] == 60.0  # but the time is spent
    assert metrics["quality"]["gold"]["reader-1"]["right"] == 1


def test_pictures_of_gold_tasks_are_not_asked_for(task_row, answer_row):
    gold = task_row("g", gold="Yes", arm="gold")
    assert accepted([gold], [answer_row(gold)], images={}).labels.is_empty()


def test_what_nobody_can_judge_takes_no_label(task_row, answer_row):
    tasks = [task_row("a"), task_row("b", audit=True, unreviewed="draft"), task_row("c")]
    unable = [answer_row(task, answer="", unjudged="black") for task in tasks[:2]]
    found = accepted(tasks, [*unable, answer_row(tasks[2])])
    assert found.labels["task_id"].to_list() == ["c"]
    assert found.metrics["quality"]["unjudged"] == 2
    assert found.metrics["expert_seconds"] == 90.0


def test_two_readers_who_agree_give_one_label_that_costs_both(task_row, answer_row):
    task = task_row("a", readers=2)
    bare = answer_row(task, seconds=20.0)
    described = answer_row(task, annotator="reader-2", description=MILD, seconds=25.0)
    found = accepted([task], [bare, described])
    (label,) = found.labels.to_dicts()
    assert (label["annotator"], label["description"]) == ("reader-2", MILD)
    assert label["seconds"] == 45.0
    assert found.metrics["annotators"] == {"reader-1": 1, "reader-2": 1}
    assert found.metrics["quality"]["double"] == {
        "tasks": 1,
        "disagreements": 0,
        "adjudicated": 0,
    }


def test_an_adjudication_is_the_label(task_row, answer_row):
    task = task_row("a", readers=2)
    given = [
        answer_row(task, description=MILD),
        answer_row(task, annotator="reader-2", answer="No"),
        answer_row(task, annotator="reader-3", answer="No", adjudicates=True),
    ]
    found = accepted([task], given)
    (label,) = found.labels.to_dicts()
    assert (label["answer"], label["annotator"], label["description"]) == ("No", "reader-3", "")
    assert label["seconds"] == 90.0
    quality = found.metrics["quality"]
    assert quality["double"] == {"tasks": 1, "disagreements": 1, "adjudicated": 1}
    assert quality["agreement"]["presence"]["tasks"] == 1
    assert quality["agreement"]["presence"]["exact"] == 0.0
    assert found.metrics["ledger"]["random"]["bought"] == 1


def test_without_second_readers_there_is_no_agreement(task_row, answer_row):
    task = task_row("a")
    quality = accepted([task], [answer_row(task, unblinded=True)]).metrics["quality"]
    assert quality == {
        "agreement": {},
        "gold": {},
        "floor": 0.7,
        "double": {"tasks": 0, "disagreements": 0, "adjudicated": 0},
        "unjudged": 0,
        "unblinded": 1,
    }


@pytest.fixture
def gold_round(task_row, answer_row):
    """20 gold tasks, of which reader-1 gets 19 right and reader-2 8, in turn."""
    tasks, given = [], []
    for number in range(20):
        task = task_row(f"g{number:02d}", gold="Yes", arm="gold", readers=2)
        tasks.append(task)
        given.append(answer_row(task, answer="Yes" if number else "No"))
        second = "Yes" if number < 8 else "No"
        given.append(answer_row(task, annotator="reader-2", answer=second))
    return tasks, given


def test_an_annotator_below_the_floor_is_named_and_the_batch_held_back(gold_round):
    with pytest.raises(Held) as held:
        accepted(*gold_round)
    assert "reader-2 (8 of 20)" in str(held.value)
    assert "annotate_import.gold_floor (70%)" in str(held.value)
    assert "reader-1" not in str(held.value)
    assert "data/annotations" in str(held.value)


def test_a_lower_floor_lets_the_batch_through(gold_round):
    settings = AnnotateImport(phash_bits=0, text_similarity=0.95, gold_floor=0.4)
    found = accepted(*gold_round, settings=settings).metrics["quality"]
    assert {name: part["rate"] for name, part in found["gold"].items()} == {
        "reader-1": 0.95,
        "reader-2": 0.4,
    }
    assert found["floor"] == 0.4


def test_metrics_are_seeded(task_row, answer_row):
    tasks = [task_row(f"t{n}", readers=2) for n in range(12)]
    given = []
    for number, task in enumerate(tasks):
        given += [answer_row(task), answer_row(task, annotator="reader-2")]
        if number % 3 == 0:
            given[-1]["answer"] = given[-2]["answer"] = "No"
        if number == 5:
            given[-1]["answer"] = "No"
            given.append(answer_row(task, adjudicates=True))
    first, second = (accepted(tasks, given).metrics for _ in range(2))
    assert first == second
    found = first["quality"]["agreement"]["presence"]
    assert found["tasks"] == 12
    assert found["alpha_low"] < found["alpha"] < found["alpha_high"]
