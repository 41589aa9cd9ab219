import numpy as np
import pytest

from medq_engine.evidence import (
    WITNESSES,
    Said,
    evidence_of,
    fitting,
    known_tasks,
    questions_about,
    to_ask,
)
from medq_engine.language import NO_DEGRADATION, question
from medq_engine.questions import Scored
from medq_engine.tables import ITEM, table


def task(kind: str, attribute: str = "", image_id: str = "i", modality: str = "mri") -> dict:
    text, options = question(kind, modality, attribute)
    about = {"image_id": image_id, "modality": modality, "attribute": attribute}
    return about | {"question_type": kind, "question": text, "options": list(options)}


def certain(row: dict, answer: str) -> Scored:
    p = np.array([0.9 if option == answer else 0.0 for option in row["options"]])
    p += 0.1 / len(p)
    return Scored(p, -np.log(p))


def said(tasks, own: dict[str, str], drafts: dict[str, str]) -> Said:
    """The same answers by question type for all tasks."""
    rows = to_ask(tasks)
    keys = {(row["image_id"], row["question"]): row for row in rows}
    return Said(
        {key: certain(row, own[row["question_type"]]) for key, row in keys.items()},
        {key: drafts[row["question_type"]] for key, row in keys.items()},
    )


@pytest.mark.parametrize("kind", ["yes-no", "what", "how"])
def test_beside_its_own_question_a_task_asks_what_and_how(kind):
    asked = questions_about(task(kind, "aliasing"))
    assert [row["question_type"] for row in asked] == [kind, *WITNESSES[kind]]
    assert {"what", "how"} <= {row["question_type"] for row in asked}
    for row in asked[1:]:
        text, options = question(row["question_type"], "mri")
        assert (row["question"], tuple(row["options"])) == (text, options)
        assert row["image_id"] == "i"


def test_a_question_is_asked_once_whoever_wants_it():
    rows = to_ask([task("what"), task("how"), task("yes-no", "blur"), task("what", image_id="j")])
    keys = [(row["image_id"], row["question_type"]) for row in rows]
    assert sorted(keys) == [
        ("i", "how"),
        ("i", "what"),
        ("i", "yes-no"),
        ("j", "how"),
        ("j", "what"),
    ]


def together(row: dict, other: dict) -> set[tuple[str, str]]:
    fits = fitting(row, other)
    return {
        (one, two)
        for n, one in enumerate(row["options"])
        for m, two in enumerate(other["options"])
        if fits[n, m]
    }


def test_answers_agree_if_what_they_imply_does():
    what, how, asked = task("what"), task("how"), task("yes-no", "aliasing")
    pairs = together(what, how)
    assert {("aliasing", "Mild"), ("aliasing", "Severe"), (NO_DEGRADATION, "None")} <= pairs
    assert not {("aliasing", "None"), (NO_DEGRADATION, "Severe")} & pairs
    assert together(how, what) == {(b, a) for a, b in pairs}
    pairs = together(asked, what)
    assert {("Yes", "aliasing"), ("No", "blur"), ("No", NO_DEGRADATION)} <= pairs
    assert not {("Yes", "blur"), ("No", "aliasing"), ("Yes", NO_DEGRADATION)} & pairs
    assert together(asked, how) == {
        ("Yes", "Mild"),
        ("Yes", "Severe"),
        ("No", "None"),
        ("No", "Mild"),
        ("No", "Severe"),
    }


def test_a_witness_speaks_for_the_answers_that_go_with_its_own():
    row = task("what")
    own = {"what": NO_DEGRADATION, "how": "Severe"}
    found = evidence_of([row], said([row], own, {"what": "aliasing", "how": "None"}))
    denial, fault = row["options"].index(NO_DEGRADATION), row["options"].index("aliasing")
    by_model, by_draft = found.features[0, :, -2], found.features[0, :, -1]
    assert by_model[fault] > by_model[denial]
    assert by_draft[fault] < by_draft[denial]
    assert (found.own[0], found.draft[0]) == (denial, fault)


def test_a_draft_that_could_not_be_read_speaks_for_nothing():
    row = task("how")
    own = {"what": "blur", "how": "Mild"}
    found = evidence_of([row], said([row], own, {"what": "", "how": ""}))
    assert found.draft[0] == -1
    assert not found.features[0, :, [1, 3, -1]].any()


def test_tasks_with_fewer_options_are_filled_up():
    rows = [task("what", modality="fundus"), task("what", modality="mri")]
    found = evidence_of(rows, said(rows, *[{"what": NO_DEGRADATION, "how": "None"}] * 2))
    assert found.there.sum(1).tolist() == [len(row["options"]) for row in rows]
    assert not found.features[~found.there].any()
    assert found.groups == ("fundus", "mri")
    part = found[np.array([1])]
    assert part.options == found.options[1:]
    assert np.array_equal(part.features, found.features[1:])


def test_dev_is_asked_as_a_batch_is_with_the_answer_that_is_known(item_row):
    blur = [{"label": "blur", "severity": "severe", "place": ""}]
    rows = [
        item_row("a", question_type="what", options=["blur", "haze"], answer="blur", findings=blur),
        item_row("b", question_type="yes-no", attribute="aliasing", findings=blur),
        item_row("c", question_type="how", findings=blur),
        item_row("d", task="description"),
    ]
    found = known_tasks(table(rows, ITEM), {"what", "yes-no"})
    assert [row["truth"] for row in found] == ["blur", "No"]
    assert tuple(found[0]["options"]) == question("what", "mri")[1]
    assert found[1]["question"] == question("yes-no", "mri", "aliasing")[0]
