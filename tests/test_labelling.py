import numpy as np
import pytest
from PIL import Image

from medq_engine.config import AnnotateImport
from medq_engine.labelling import accept, arm_yield, label_of, noise, rate
from medq_engine.statistics import wilson
from medq_engine.tables import LABEL, TASK, table

SETTINGS = AnnotateImport(phash_bits=0, text_similarity=0.95)


class Pictures(dict):
    """A different picture for every image id, unless two ids are given one picture."""

    def __missing__(self, image_id: str) -> Image.Image:
        rng = np.random.default_rng(list(image_id.encode()))
        return Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))


def accepted(tasks, answers, history=(), images=None):
    images = Pictures() if images is None else images
    return accept(table(tasks, TASK), answers, table(history, LABEL), images, SETTINGS)


def test_each_route_labels_with_its_own_answer(task_row, answer_row):
    expert, draft, model = (task_row(route, route=route) for route in ("expert", "draft", "model"))
    answer = answer_row(expert, answer="No", description="A text.")
    reviewed = {"expert": answer}
    assert label_of(expert, reviewed)["answer"] == "No"
    assert label_of(expert, reviewed)["description"] == "A text."
    assert label_of(expert, reviewed)["annotator"] == "reader-1"
    assert label_of(draft, reviewed)["answer"] == draft["draft"] == "No"
    assert label_of(model, reviewed)["answer"] == model["model_answer"] == "Yes"
    assert [label_of(t, reviewed)["annotator"] for t in (draft, model)] == ["draft", "model"]
    assert [label_of(t, reviewed)["seconds"] for t in (expert, draft, model)] == [30.0, 0.0, 0.0]


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
    task = task_row("new", round=2)
    found = accepted([task], [answer_row(task, seconds=30)], history)
    assert found.metrics["expert_seconds"] == 30.0
    assert found.metrics["expert_minutes_total"] == 2.0


def test_a_round_without_tasks_keeps_the_history(label_row):
    found = accepted([], [], [label_row("old")])
    assert found.labels["task_id"].to_list() == ["old"]
    assert found.metrics["round"] == 0


def test_noise_compares_experts_with_the_label_that_nobody_would_have_checked(task_row, answer_row):
    # Model says Yes, draft says No, the expert says Yes.
    tasks = [
        task_row("a", audit=True, unreviewed="model"),
        task_row("b", audit=True, unreviewed="draft"),
        task_row("c", audit=True, unreviewed="model"),
        task_row("d", audit=False, unreviewed="expert"),
    ]
    reviewed = {str(task["task_id"]): answer_row(task) for task in tasks}
    found = noise(table(tasks, TASK), reviewed)
    assert (found["audited"], found["wrong"]) == (3, 1)
    assert found["rate"] == pytest.approx(1 / 3)
    assert (found["low"], found["high"]) == wilson(1, 3, 0.95)


def test_without_an_audit_the_noise_is_unknown():
    assert noise(table([], TASK), {}) == {
        "audited": 0,
        "wrong": 0,
        "rate": None,
        "low": 0.0,
        "high": 1.0,
    }
    assert rate(0, 0)["rate"] is None


def test_yield_counts_corrections_by_arm_without_audits(task_row, answer_row):
    tasks = [
        task_row("a", arm="prototype"),
        task_row("b", arm="prototype"),
        task_row("c", arm="control"),
        task_row("d", arm="control", audit=True),
        task_row("e", arm="control", route="draft"),
    ]
    reviewed = {str(task["task_id"]): answer_row(task, answer="No") for task in tasks[:4]}
    reviewed["b"]["answer"] = "Yes"
    found = arm_yield(table(tasks, TASK), reviewed)
    assert (found["prototype"]["labels"], found["prototype"]["corrected"]) == (2, 1)
    assert (found["control"]["labels"], found["control"]["corrected"]) == (1, 1)
