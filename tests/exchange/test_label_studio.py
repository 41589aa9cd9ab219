import json
from xml.etree import ElementTree

import pytest

from medq_engine.exchange.answers import ExchangeError, Fault, Said
from medq_engine.exchange.label_studio import CONFIG, CONTROLS, read_export, tasks_of
from tests.exchange.miniature_exports import annotation, exported_task, flat, label_studio_export

ALICE = {"id": 4, "email": "alice@example.org", "first_name": "Alice", "last_name": "Ek"}


@pytest.fixture
def tasks(batch) -> list[dict[str, object]]:
    return tasks_of(batch)


def read(tasks: object, annotator: str | None = None) -> list[Said | Fault]:
    return read_export(json.dumps(tasks).encode(), annotator)


def one(tasks, said=None, user=ALICE, annotator=None, **changes) -> Said | Fault:
    """What an export of the first task with one annotation says."""
    given = annotation(1, 101, {"answer": "Yes"} if said is None else said, user, **changes)
    (found,) = read([exported_task(101, tasks[0], [given])], annotator)
    return found


def test_config_and_tasks_fit_each_other(tasks):
    root = ElementTree.fromstring(CONFIG)
    values = {tag.get("value") for tag in root.iter() if tag.get("value", "").startswith("$")}
    assert values == {"$question", "$image", "$options"}
    kinds = {tag.get("name"): tag.tag.lower() for tag in root.iter() if tag.get("toName")}
    assert set(kinds) == set(CONTROLS)
    assert {tag.get("toName") for tag in root.iter() if tag.get("toName")} == {"image"}
    for task in tasks:
        assert {value[1:] for value in values} <= set(task["data"])
        # JSON-MIN puts both side by side.
        assert not set(task["data"]) & {*CONTROLS, "id", "annotator", "annotation_id", "lead_time"}
        assert [option["alias"] for option in task["data"]["options"]] == [
            option["value"] for option in task["data"]["options"]
        ]
        for prediction in task["predictions"]:
            for result in prediction["result"]:
                assert kinds[result["from_name"]] == result["type"] == "choices"
                assert result["value"]["choices"][0] in [
                    option["value"] for option in task["data"]["options"]
                ]


def test_predictions_are_the_models_answer_and_the_draft(batch, tasks):
    shown = {
        task["task_id"]: [
            (guess["model_version"], guess["result"][0]["value"]["choices"], guess.get("score"))
            for guess in made["predictions"]
        ]
        for task, made in zip(batch.tasks, tasks, strict=True)
    }
    assert shown["r001-00"] == [("model", ["Yes"], 0.9)]
    assert shown["r001-03"] == [("model", ["Yes"], 0.9), ("draft", ["No"], None)]


def test_nothing_anchors_whoever_answers_a_blind_task(batch, tasks):
    blind = [made for task, made in zip(batch.tasks, tasks, strict=True) if task["blind"]]
    assert len(blind) > 5
    assert not any(task["predictions"] for task in blind)
    assert {frozenset(task["data"]) for task in tasks} == {frozenset(blind[0]["data"])}


def test_json_min_says_the_same(batch, tasks, readings):
    exported = label_studio_export(tasks, readings)
    full = [said for said in read(exported) if not said.nothing]
    least = read(flat(exported))
    names = {"0@example.org": "Anna Müller"}
    assert len(full) == len(least) == len(readings)
    for one_of_full, one_of_least in zip(full, least, strict=True):
        same = vars(one_of_full) | {"annotator": None}
        assert vars(one_of_least) | {"annotator": None} == same
        assert one_of_least.annotator.endswith("@example.org")
        assert (one_of_full.annotator == "Anna Müller") == (one_of_least.annotator in names)


FIELDS = annotation(1, 1, {"answer": "Yes"}, ALICE)


@pytest.mark.parametrize("field", sorted(set(FIELDS) - {"completed_by", "result"}))
def test_an_annotation_may_lack_what_other_versions_do_not_write(tasks, field):
    given = {name: value for name, value in FIELDS.items() if name != field}
    (said,) = read([exported_task(101, tasks[0], [given])])
    assert (said.answer, said.annotator, said.task_id) == ("Yes", "Alice Ek", "r001-00")


@pytest.mark.parametrize(
    "field", ["id", "file_upload", "drafts", "predictions", "meta", "inner_id", "comment_authors"]
)
def test_a_task_may_lack_what_other_versions_do_not_write(tasks, field):
    exported = exported_task(101, tasks[0], [FIELDS])
    del exported[field]
    assert read([exported])[0].answer == "Yes"


def test_fields_of_later_versions_do_not_matter(tasks):
    given = FIELDS | {"reviews": [], "state": {"a": 1}}
    exported = exported_task(101, tasks[0], [given]) | {"agreement": 100.0, "assignees": [4]}
    assert read([exported])[0].answer == "Yes"


def test_an_export_of_one_task_needs_no_list(tasks):
    assert read(exported_task(101, tasks[0], [FIELDS]))[0].answer == "Yes"


@pytest.mark.parametrize(
    ("user", "name"),
    [
        (ALICE, "Alice Ek"),
        (ALICE | {"last_name": None}, "Alice"),
        (ALICE | {"first_name": "", "last_name": ""}, "alice@example.org"),
        ({"id": 4, "email": "", "first_name": "", "last_name": ""}, "Label Studio user 4"),
        (4, "Label Studio user 4"),
        ("4", "Label Studio user 4"),
        ("alice@example.org", "alice@example.org"),
        (None, ""),
        ({}, ""),
    ],
)
def test_annotators_are_called_by_what_the_export_has(tasks, user, name):
    assert one(tasks, user=user).annotator == name


@pytest.mark.parametrize("user", [4, None, {"id": 4, "email": ""}])
def test_a_name_may_be_given_for_one_annotator_without(tasks, user):
    assert one(tasks, user=user, annotator="Alice").annotator == "Alice"


def test_a_name_is_given_neither_for_two_annotators_nor_for_one_with_a_name(tasks):
    two = [annotation(n, 101, {"answer": "Yes"}, n) for n in (1, 2)]
    with pytest.raises(ExchangeError, match=r"user 1, Label Studio user 2.*leave --annotator out"):
        read([exported_task(101, tasks[0], two)], "Alice")
    with pytest.raises(ExchangeError, match="Alice Ek"):
        one(tasks, annotator="Bob")


def test_who_only_skipped_is_no_annotator(tasks):
    given = [
        annotation(1, 101, {"answer": "Yes"}, 1),
        annotation(2, 101, {}, 2, was_cancelled=True),
    ]
    said, skipped = read([exported_task(101, tasks[0], given)], "Alice")
    assert (said.annotator, skipped.nothing) == ("Alice", True)


def test_two_users_of_the_same_name_are_not_taken_for_one(tasks):
    given = [annotation(n, 101, {"answer": "Yes"}, ALICE | {"id": n}) for n in (1, 2)]
    with pytest.raises(ExchangeError, match="2 users are called 'Alice Ek'"):
        read([exported_task(101, tasks[0], given)])


def test_a_skipped_task_stays_open_whatever_was_begun(tasks):
    assert one(tasks, {"answer": "Yes", "note": "begun"}, was_cancelled=True).nothing


@pytest.mark.parametrize("value", [{"text": "a\nb"}, {"text": ["a", "b"]}, {"textarea": ["a\nb"]}])
def test_texts_come_as_a_string_or_a_list(tasks, value):
    result = [{"from_name": "note", "to_name": "image", "type": "textarea", "value": value}]
    assert one(tasks, result=result).note == "a\nb"


def test_lead_time_is_the_time_and_may_be_unknown(tasks):
    assert one(tasks, lead_time=12.5).seconds == 12.5
    assert one(tasks, lead_time=None).seconds == 0.0


def test_why_it_cannot_be_judged_is_kept(tasks):
    said = one(tasks, {"cannot_judge": "cannot judge", "reason": "cut off"})
    assert (said.unjudged, said.answer, said.nothing) == ("cut off", "", False)


def test_a_reason_left_in_the_hidden_field_does_not_matter(tasks):
    said = one(tasks, {"answer": "Yes", "reason": "cut off"})
    assert (said.answer, said.unjudged) == ("Yes", "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"said": {"cannot_judge": "cannot judge"}}, "but not why"),
        ({"said": {"cannot_judge": "cannot judge", "reason": " \n"}}, "but not why"),
        ({"said": {"box": "x"}}, "control 'box' is not in config.xml"),
        ({"result": [7]}, "control None"),
        ({"result": [{"from_name": "answer", "value": {"rating": 4}}]}, "neither choices nor text"),
        ({"result": [{"from_name": "answer", "value": None}]}, "neither choices nor text"),
        ({"result": [{"from_name": "answer", "value": {"choices": ["Yes", "No"]}}]}, "not one of"),
        ({"lead_time": "long"}, "lead_time 'long' is no number"),
        ({"lead_time": True}, "no number"),
        ({"lead_time": 10**400}, "too large"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_named(tasks, changes, reason):
    fault = one(tasks, **changes)
    assert isinstance(fault, Fault)
    assert str(fault).startswith("task 101, annotation 1: ")
    assert reason in str(fault)


@pytest.mark.parametrize(
    "task", [7, {}, {"id": 3, "data": {"image": "a.png"}, "annotations": []}, {"annotations": [1]}]
)
def test_tasks_of_another_project_are_named(task):
    (fault,) = read([task])
    assert isinstance(fault, Fault)


def test_annotations_exported_as_numbers_are_named(tasks):
    (fault,) = read([exported_task(101, tasks[0], [55])])
    assert "export annotations in full" in str(fault)


@pytest.mark.parametrize("data", [b"", b'[{"id": 1', b"\xff\xfe[", b"[NaN]", b"[" * 100_000])
def test_a_file_that_is_no_json_is_refused(data):
    with pytest.raises(ExchangeError, match="not JSON"):
        read_export(data)


def test_a_reason_is_asked_for_only_where_the_image_cannot_be_judged():
    # Label Studio looks at the visibility of the view around a required text area only.
    root = ElementTree.fromstring(CONFIG)
    required = [(view, tag) for view in root.iter() for tag in view if tag.get("required")]
    ((view, reason),) = required
    assert reason.get("name") == "reason"
    assert (view.get("visibleWhen"), view.get("whenTagName")) == (
        "choice-selected",
        "cannot_judge",
    )
    (choice,) = root.find(".//Choices[@name='cannot_judge']")
    assert choice.get("value") == view.get("whenChoiceValue")
