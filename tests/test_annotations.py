import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from medq_engine.annotations import AnnotationError, Pending, read_annotations, read_lines
from medq_engine.descriptions import describe
from medq_engine.language import Finding
from medq_engine.tables import canonical


@pytest.fixture
def tasks(task_row) -> list[dict[str, object]]:
    return [task_row(f"t{number}") for number in range(3)]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "round-001.jsonl"


def lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_answers_come_back_in_the_order_of_the_tasks(path, tasks, answer_row):
    rows = [answer_row(task) for task in tasks]
    lines(path, rows[::-1])
    assert read_annotations(path, tasks, "batch") == rows


def test_a_canonical_file_is_read_back(path, tasks, answer_row):
    rows = [answer_row(task, note="kontrastarm, 画像") for task in tasks]
    path.write_bytes(canonical(rows))
    assert read_annotations(path, tasks, "batch") == rows


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\x1c", "\v", "\f"])
def test_a_note_may_hold_what_only_python_takes_for_the_end_of_a_line(
    path, tasks, answer_row, mark
):
    rows = [answer_row(task, note=f"above{mark}below") for task in tasks]
    path.write_bytes(canonical(rows))
    assert read_annotations(path, tasks, "batch") == rows


def test_lines_may_end_as_on_windows(path, tasks, answer_row):
    rows = [answer_row(task) for task in tasks]
    path.write_bytes(canonical(rows).replace(b"\n", b"\r\n"))
    assert read_annotations(path, tasks, "batch") == rows


def test_a_line_that_is_not_utf_8_is_named(path, tasks, answer_row):
    data = canonical([answer_row(task, note="sch\u00f6n") for task in tasks]).splitlines()
    data[1] = data[1].decode().encode("latin-1")
    path.write_bytes(b"\n".join(data))
    with pytest.raises(AnnotationError) as error:
        read_annotations(path, tasks, "batch")
    assert f"{path}:2: not JSON in UTF-8" in str(error.value)
    assert "1 faulty lines" in str(error.value)


def test_pending_passes_through_a_context_manager(path):
    @contextmanager
    def stage():
        yield

    with pytest.raises(Pending) as stop, stage():
        raise Pending(path, ("t0",), 3)
    assert stop.value.task_ids == ("t0",)


def test_blank_lines_do_not_shift_line_numbers(path):
    path.write_text('{"a": 1}\n\n{"b": 2}\n', encoding="utf-8")
    assert read_lines(path) == [(1, {"a": 1}), (3, {"b": 2})]


def test_a_missing_file_means_that_everything_is_pending(path, tasks):
    with pytest.raises(Pending) as stop:
        read_annotations(path, tasks, "batch")
    assert stop.value.task_ids == ("t0", "t1", "t2")
    assert "3 of 3 tasks" in str(stop.value)


def test_pending_lists_what_is_missing(path, tasks, answer_row):
    lines(path, [answer_row(tasks[1])])
    with pytest.raises(Pending) as stop:
        read_annotations(path, tasks, "batch")
    assert stop.value.task_ids == ("t0", "t2")
    assert "2 of 3 tasks" in str(stop.value)
    assert "pending: t0, t2" in str(stop.value)
    assert str(path) in str(stop.value)


def test_pending_shows_the_first_tasks_of_many():
    text = str(Pending(Path("x"), tuple(f"t{n}" for n in range(9)), 9))
    assert "t4 ..." in text
    assert "t5" not in text


@pytest.mark.parametrize(
    ("second_line", "message"),
    [
        ("{broken", ":2: not JSON"),
        ('{"task_id": "t1", "answer": "Ye', ":2: not JSON in UTF-8 (cut off?)"),
        ('{"seconds": NaN}', ":2: not JSON in UTF-8 (cut off?): NaN is no number"),
        ('{"seconds": -Infinity}', ":2: not JSON in UTF-8 (cut off?): -Infinity is no number"),
        ('["t1"]', ":2: not a JSON object"),
    ],
    ids=["malformed", "last line cut off", "not a number", "endless", "a list"],
)
def test_a_line_that_is_no_object_is_named(path, tasks, answer_row, second_line, message):
    path.write_text(json.dumps(answer_row(tasks[0])) + "\n" + second_line, encoding="utf-8")
    with pytest.raises(AnnotationError) as error:
        read_annotations(path, tasks, "batch")
    assert f"{path}{message}" in str(error.value)


FAULTS = {
    "another batch": ({"batch": "old"}, "answers batch old, but this round's batch is batch"),
    "unknown task": ({"task_id": "t9"}, "task t9 is not in the batch"),
    "no option": ({"answer": "Perhaps"}, "answer 'Perhaps' is none of the options"),
    "negative seconds": ({"seconds": -1}, "field 'seconds' is -1"),
    "text for seconds": ({"seconds": "30"}, "field 'seconds' is '30', not a number"),
    "bool for number": ({"seconds": True}, "field 'seconds' is True"),
    "bool for int": ({"round": True}, "field 'round' is True, not int"),
    "float for int": ({"round": 1.0}, "field 'round' is 1.0, not int"),
    "null": ({"note": None}, "field 'note' is None, not str"),
    "unknown field": ({"remark": "x"}, "unknown field 'remark'"),
    "empty annotator": ({"annotator": ""}, "field 'annotator' is empty"),
    "another image": ({"image_id": "x"}, "field 'image_id' differs from the batch's task t1"),
    "another question": ({"question": "Q?"}, "field 'question' differs"),
    "another round": ({"round": 2}, "field 'round' differs"),
    "another route": ({"route": "draft"}, "field 'route' differs from the batch's task t1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_line_that_breaks_the_contract_is_named(path, tasks, answer_row, name):
    changes, message = FAULTS[name]
    good, faulty = answer_row(tasks[0]), answer_row(tasks[1], **changes)
    with pytest.raises(AnnotationError) as error:
        read_annotations(lines(path, [good, faulty]), tasks, "batch")
    assert f"{path}:2: {message}" in str(error.value)
    assert f"{path}:1:" not in str(error.value)


@pytest.mark.parametrize("field", ["task_id", "answer", "seconds", "batch", "note"])
def test_a_missing_field_is_named(path, tasks, answer_row, field):
    row = answer_row(tasks[0])
    del row[field]
    with pytest.raises(AnnotationError, match=f"field '{field}' is missing"):
        read_annotations(lines(path, [row]), tasks, "batch")


def test_a_task_is_answered_once(path, tasks, answer_row):
    twice = [answer_row(tasks[0]), answer_row(tasks[1]), answer_row(tasks[0], answer="No")]
    with pytest.raises(AnnotationError) as error:
        read_annotations(lines(path, twice), tasks, "batch")
    assert f"{path}:3: task t0 is answered before, on line 1" in str(error.value)


def test_all_faults_are_told_at_once_and_a_fault_comes_before_pending(path, tasks, answer_row):
    rows = [answer_row(tasks[0], answer="x"), answer_row(tasks[1], seconds=-1)]
    with pytest.raises(AnnotationError) as error:
        read_annotations(lines(path, rows), tasks, "batch")
    assert "2 faulty lines" in str(error.value)
    assert f"{path}:1:" in str(error.value)
    assert f"{path}:2:" in str(error.value)


def test_many_faults_are_counted_and_not_all_printed(path, tasks, answer_row):
    rows = [answer_row(tasks[0], answer="x")] * 30
    with pytest.raises(AnnotationError, match="and 10 more") as error:
        read_annotations(lines(path, rows), tasks, "batch")
    assert str(error.value).startswith("30 faulty lines")


MILD = [Finding("aliasing", "mild")]
READING = {
    "agrees": ("yes-no", "aliasing", "Yes", describe("mri", MILD), None),
    "no and nothing seen": ("yes-no", "aliasing", "No", describe("mri", []), None),
    "no and another seen": ("yes-no", "blur", "No", describe("mri", MILD), None),
    "yes but not seen": ("yes-no", "blur", "Yes", describe("mri", MILD), "'Yes' about 'blur'"),
    "no but seen": ("yes-no", "aliasing", "No", describe("mri", MILD), "'No' about 'aliasing'"),
    "what": ("what", "", "aliasing", describe("mri", MILD), None),
    "what, fine": ("what", "", "no degradation", describe("mri", []), None),
    "another what": ("what", "", "blur", describe("mri", MILD), "'blur' contradicts"),
    "what, denied": ("what", "", "no degradation", describe("mri", MILD), "contradicts"),
    "seen and denied": (
        "what",
        "",
        "blur",
        "There is mild blur. No degradation is visible. "
        "Overall, the quality of this image is usable.",
        "names a finding and says that there is none",
    ),
    "what, unseen": ("what", "", "blur", describe("mri", []), "'blur' contradicts"),
    "how": ("how", "", "Mild", describe("mri", MILD), None),
    "how, fine": ("how", "", "None", describe("mri", []), None),
    "another how": ("how", "", "Severe", describe("mri", MILD), "severity 'Severe' contradicts"),
    "how, denied": ("how", "", "None", describe("mri", MILD), "severity 'None' contradicts"),
    "how, unseen": ("how", "", "Mild", describe("mri", []), "severity 'Mild' contradicts"),
    "verdict": (
        "yes-no",
        "aliasing",
        "Yes",
        "There is mild aliasing. Overall, the quality of this image is reject.",
        "verdict 'reject' contradicts the findings, which say 'usable'",
    ),
}


@pytest.mark.parametrize(
    "text",
    [
        "Looks bad to me.",
        "There is mild aliasing.",
        "Overall, the quality of this image is usable.",
        "There is severe metal streak. Overall, the quality of this image is reject.",
        " ",
    ],
    ids=["free text", "no verdict", "no finding", "a finding of another modality", "blank"],
)
def test_a_description_that_cannot_be_read_is_refused_with_an_example(
    path, tasks, answer_row, text
):
    lines(path, [answer_row(tasks[0], description=text)])
    with pytest.raises(AnnotationError) as error:
        read_annotations(path, tasks[:1], "batch")
    assert f"{path}:1: the description names no verdict" in str(error.value)
    assert describe("mri", ()) in str(error.value)


@pytest.mark.parametrize("name", READING)
def test_answer_findings_and_verdict_must_agree(path, task_row, answer_row, name):
    kind, attribute, given, description, message = READING[name]
    options = ["Yes", "No", "aliasing", "blur", "no degradation", "None", "Mild", "Severe"]
    task = task_row("t0", question_type=kind, attribute=attribute, options=options)
    lines(path, [answer_row(task, answer=given, description=description)])
    if message is None:
        assert len(read_annotations(path, [task], "batch")) == 1
    else:
        with pytest.raises(AnnotationError) as error:
            read_annotations(path, [task], "batch")
        assert message in str(error.value)
