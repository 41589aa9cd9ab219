import json
from pathlib import Path

import pytest

from medq_engine.annotations import (
    FIELDS,
    OPTIONAL,
    AnnotationError,
    contradiction,
    encodable,
    key,
    lean,
    line_fault,
    merge,
    read_lines,
    read_readings,
    reading,
    store,
    verdict_said,
)
from medq_engine.descriptions import describe
from medq_engine.language import Finding, question
from medq_engine.tables import canonical

Row = dict[str, object]


@pytest.fixture
def tasks(task_row) -> list[Row]:
    return [task_row(f"t{number}") for number in range(3)]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "round-001.jsonl"


def lines(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def full(rows: list[Row]) -> list[Row]:
    """Lean rows with their optional fields, which say nothing."""
    return [OPTIONAL | row for row in rows]


def test_readings_come_back_in_the_order_of_the_file_with_all_fields(path, tasks, answer_row):
    rows = [answer_row(task) for task in tasks][::-1]
    found = read_readings(lines(path, rows), tasks, "batch")
    assert found == full(rows)
    assert all(set(row) == {*FIELDS, *OPTIONAL} for row in found)


def test_a_missing_file_holds_no_reading(path, tasks):
    assert read_readings(path, tasks, "batch") == []


def test_a_canonical_file_is_read_back(path, tasks, answer_row):
    rows = [answer_row(task, note="kontrastarm, 画像") for task in tasks]
    path.write_bytes(canonical(rows))
    assert read_readings(path, tasks, "batch") == full(rows)


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\x1c", "\v", "\f"])
def test_a_note_may_hold_what_only_python_takes_for_the_end_of_a_line(
    path, tasks, answer_row, mark
):
    rows = [answer_row(task, note=f"above{mark}below") for task in tasks]
    path.write_bytes(canonical(rows))
    assert read_readings(path, tasks, "batch") == full(rows)


def test_lines_may_end_as_on_windows(path, tasks, answer_row):
    rows = [answer_row(task) for task in tasks]
    path.write_bytes(canonical(rows).replace(b"\n", b"\r\n"))
    assert read_readings(path, tasks, "batch") == full(rows)


def test_a_line_that_is_not_utf_8_is_named(path, tasks, answer_row):
    data = canonical([answer_row(task, note="sch\u00f6n") for task in tasks]).splitlines()
    data[1] = data[1].decode().encode("latin-1")
    path.write_bytes(b"\n".join(data))
    with pytest.raises(AnnotationError) as error:
        read_readings(path, tasks, "batch")
    assert f"{path}:2: not JSON in UTF-8" in str(error.value)
    assert "1 faulty lines" in str(error.value)


def test_blank_lines_do_not_shift_line_numbers(path):
    path.write_text('{"a": 1}\n\n{"b": 2}\n', encoding="utf-8")
    assert read_lines(path) == [(1, {"a": 1}), (3, {"b": 2})]


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
        read_readings(path, tasks, "batch")
    assert f"{path}{message}" in str(error.value)


FAULTS = {
    "another batch": ({"batch": "old"}, "answers batch old, but this round's batch is batch"),
    "unknown task": ({"task_id": "t9"}, "task t9 is not in the batch"),
    "no option": ({"answer": "Perhaps"}, "answer 'Perhaps' is none of the options"),
    "negative seconds": ({"seconds": -1}, "field 'seconds' is -1"),
    "endless seconds": ({"seconds": 10**400}, "field 'seconds' is 1000"),
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
    "blank annotator": ({"annotator": " \t"}, "field 'annotator' is empty"),
    "unknown verdict": ({"verdict": "fine"}, "verdict 'fine' is none of ['good', 'usable', "),
    "verdict, null": ({"verdict": None}, "field 'verdict' is None, not str"),
    "number for bool": ({"adjudicates": 1}, "field 'adjudicates' is 1, not bool"),
    "text for bool": ({"unblinded": "no"}, "field 'unblinded' is 'no', not bool"),
    "half a character": ({"note": "a\ud800b"}, "field 'note' holds half of a character"),
    "cannot judge, but answers": (
        {"unjudged": "too dark"},
        "says that the task cannot be judged, but gives its answer",
    ),
    "cannot judge, but a verdict": (
        {"unjudged": "too dark", "answer": "", "verdict": "reject"},
        "says that the task cannot be judged, but gives its verdict",
    ),
    "cannot judge, but a description": (
        {"unjudged": "too dark", "answer": "", "description": "x"},
        "says that the task cannot be judged, but gives its description",
    ),
    "no answer and no reason": ({"answer": ""}, "answer '' is none of the options"),
    "another route": ({"route": "draft"}, "field 'route' differs from the batch's task t1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_line_that_breaks_the_contract_is_named(path, tasks, answer_row, name):
    changes, message = FAULTS[name]
    good, faulty = answer_row(tasks[0]), answer_row(tasks[1], **changes)
    with pytest.raises(AnnotationError) as error:
        read_readings(lines(path, [good, faulty]), tasks, "batch")
    assert f"{path}:2: {message}" in str(error.value)
    assert f"{path}:1:" not in str(error.value)


@pytest.mark.parametrize("field", ["task_id", "answer", "seconds", "batch", "note"])
def test_a_missing_field_is_named(path, tasks, answer_row, field):
    row = answer_row(tasks[0])
    del row[field]
    with pytest.raises(AnnotationError, match=f"field '{field}' is missing"):
        read_readings(lines(path, [row]), tasks, "batch")


def test_a_line_that_stands_there_twice_counts_once(path, tasks, answer_row):
    rows = [answer_row(tasks[0]), answer_row(tasks[1]), answer_row(tasks[0])]
    assert read_readings(lines(path, rows), tasks, "batch") == full(rows[:2])


def test_a_spelt_out_default_makes_no_other_line(path, tasks, answer_row):
    rows = [answer_row(tasks[0]), answer_row(tasks[0], verdict="", adjudicates=False)]
    assert read_readings(lines(path, rows), tasks, "batch") == full(rows[:1])


@pytest.mark.parametrize("change", [{"answer": "No"}, {"seconds": 31.0}, {"note": "again"}])
def test_one_person_answers_a_task_once_or_both_lines_are_named(path, tasks, answer_row, change):
    twice = [answer_row(tasks[0]), answer_row(tasks[1]), answer_row(tasks[0], **change)]
    with pytest.raises(AnnotationError) as error:
        read_readings(lines(path, twice), tasks, "batch")
    expected = f"{path}:3: reader-1 answers task t0 on line 1 already, and otherwise: keep one"
    assert expected in str(error.value)
    assert "1 faulty lines" in str(error.value)


def test_a_task_may_have_readings_of_two_people_and_an_adjudication_of_one(path, tasks, answer_row):
    rows = [
        answer_row(tasks[0]),
        answer_row(tasks[0], annotator="reader-2", answer="No"),
        answer_row(tasks[0], adjudicates=True),
    ]
    assert read_readings(lines(path, rows), tasks, "batch") == full(rows)
    twice = [*rows, answer_row(tasks[0], adjudicates=True, answer="No")]
    with pytest.raises(AnnotationError, match=":4: reader-1 answers task t0 on line 3 already"):
        read_readings(lines(path, twice), tasks, "batch")


def test_a_task_that_cannot_be_judged_needs_no_answer(path, tasks, answer_row):
    row = answer_row(tasks[0], answer="", unjudged="the image is black")
    assert read_readings(lines(path, [row]), tasks, "batch") == full([row])


def test_all_faults_are_told_at_once(path, tasks, answer_row):
    rows = [answer_row(tasks[0], answer="x"), answer_row(tasks[1], seconds=-1)]
    with pytest.raises(AnnotationError) as error:
        read_readings(lines(path, rows), tasks, "batch")
    assert "2 faulty lines" in str(error.value)
    assert f"{path}:1:" in str(error.value)
    assert f"{path}:2:" in str(error.value)


def test_many_faults_are_counted_and_not_all_printed(path, tasks, answer_row):
    rows = [answer_row(tasks[0], answer="x")] * 30
    with pytest.raises(AnnotationError, match="and 10 more") as error:
        read_readings(lines(path, rows), tasks, "batch")
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
    "described verdict": (
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
        read_readings(path, tasks[:1], "batch")
    assert f"{path}:1: the description names no verdict" in str(error.value)
    assert describe("mri", ()) in str(error.value)


@pytest.mark.parametrize("name", READING)
def test_answer_findings_and_verdict_must_agree(path, task_row, answer_row, name):
    kind, attribute, given, description, message = READING[name]
    options = ["Yes", "No", "aliasing", "blur", "no degradation", "None", "Mild", "Severe"]
    task = task_row("t0", question_type=kind, attribute=attribute, options=options)
    lines(path, [answer_row(task, answer=given, description=description)])
    if message is None:
        assert len(read_readings(path, [task], "batch")) == 1
    else:
        with pytest.raises(AnnotationError) as error:
            read_readings(path, [task], "batch")
        assert message in str(error.value)


# Question type, attribute -> for each answer the verdicts that it leaves open. "No" to one fault
# leaves room for others, and several mild faults make a reject (`language.verdict_of`).
ANSWERS = {
    "yes-no": {"Yes": "usable reject", "No": "good usable reject"},
    "what": {"no degradation": "good", "aliasing": "usable reject", "blur": "usable reject"},
    "how": {"None": "good", "Mild": "usable reject", "Severe": "reject"},
}
VERDICT_TABLE = [
    (kind, given, verdict, verdict in open_verdicts.split())
    for kind, answers in ANSWERS.items()
    for given, open_verdicts in answers.items()
    for verdict in ("good", "usable", "reject")
]


@pytest.mark.parametrize(("kind", "given", "verdict", "allowed"), VERDICT_TABLE)
def test_a_verdict_must_be_one_that_the_answer_leaves_open(
    path, task_row, answer_row, kind, given, verdict, allowed
):
    text, options = question(kind, "mri", "aliasing")
    asked = {"question_type": kind, "question": text, "options": list(options)}
    task = task_row("t0", **asked)
    row = answer_row(task, answer=given, verdict=verdict)
    lines(path, [row])
    if allowed:
        assert contradiction(row, task) is None
        assert read_readings(path, [task], "batch") == full([row])
    else:
        fault = contradiction(row, task)
        assert repr(given) in fault
        assert repr(verdict) in fault
        with pytest.raises(AnnotationError) as error:
            read_readings(path, [task], "batch")
        assert f"{path}:1: {fault}" in str(error.value)


@pytest.mark.parametrize(
    ("verdict", "message"),
    [("usable", None), ("reject", "verdict 'reject' contradicts the description, which says")],
)
def test_verdict_and_description_must_agree(task_row, answer_row, verdict, message):
    task = task_row("t0")
    row = answer_row(task, description=describe("mri", MILD), verdict=verdict)
    fault = contradiction(row, task)
    assert fault is None if message is None else message in fault


def test_a_lean_row_is_checked_as_a_full_one(task_row, answer_row):
    task = task_row("t0")
    assert contradiction(answer_row(task), task) is None
    assert "verdict 'good'" in contradiction(answer_row(task, verdict="good"), task)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"verdict": "reject"}, "reject"),
        ({"description": describe("mri", MILD)}, "usable"),
        ({"verdict": "usable", "description": describe("mri", MILD)}, "usable"),
        ({}, ""),
    ],
    ids=["alone", "in the description", "both", "none"],
)
def test_a_verdict_stands_alone_or_in_the_description(task_row, fields, expected):
    assert verdict_said(reading(task_row("t0"), "reader-1", "batch", "Yes", **fields)) == expected


def test_a_reading_has_every_field_and_keeps_the_contract(task_row):
    task = task_row("t0")
    made = reading(task, "reader-1", "batch", "Yes", verdict="reject", seconds=4, unblinded=True)
    assert set(made) == {*FIELDS, *OPTIONAL}
    assert line_fault(made, {"t0": task}, "batch") is None
    unable = reading(task, "reader-1", "batch", unjudged="black")
    assert line_fault(unable, {"t0": task}, "batch") is None
    assert line_fault(reading(task, "reader-1", "batch"), {"t0": task}, "batch") is not None


@pytest.mark.parametrize(
    "said", [{}, {"verdict": "usable"}, {"unblinded": True}, {"adjudicates": True}]
)
def test_what_says_nothing_is_not_written(path, task_row, said):
    task = task_row("t0")
    made = reading(task, "reader-1", "batch", "Yes", **said)
    assert lean(made) == {**{name: made[name] for name in FIELDS}, **said}
    store(path, [made])
    assert set(json.loads(path.read_text(encoding="utf-8"))) == {*FIELDS, *said}
    assert read_readings(path, [task], "batch") == [made]


def test_a_zero_of_a_required_field_is_written(task_row):
    made = reading(task_row("t0", round=0), "reader-1", "batch", unjudged="black")
    assert {name: lean(made)[name] for name in ("answer", "note", "seconds", "round")} == {
        "answer": "",
        "note": "",
        "seconds": 0.0,
        "round": 0,
    }


def test_new_readings_replace_what_the_same_person_said_and_are_added_else(tasks, answer_row):
    old = full([answer_row(task) for task in tasks[:2]])
    again = OPTIONAL | answer_row(tasks[0], answer="No")
    other = OPTIONAL | answer_row(tasks[0], annotator="reader-2")
    ruled = OPTIONAL | answer_row(tasks[0], adjudicates=True)
    assert merge(old, [again]) == [again, old[1]]
    assert merge(old, [other, ruled]) == [*old, other, ruled]
    assert merge(old, []) == old
    assert merge([], [again, old[0]]) == [old[0]]
    assert old[0]["answer"] == "Yes"  # what was handed in stays as it is


def test_a_lean_row_and_a_full_one_have_the_same_key(tasks, answer_row):
    row = answer_row(tasks[0])
    assert key(row) == key(OPTIONAL | row) == ("t0", "reader-1", False)
    assert key(row | {"adjudicates": True}) == ("t0", "reader-1", True)


def test_a_stored_file_is_canonical_whatever_the_order(path, tasks, answer_row):
    rows = full([answer_row(task, annotator=name) for task in tasks for name in ("b", "a")])
    store(path, rows)
    data = path.read_bytes()
    store(path, rows[::-1])
    assert path.read_bytes() == data == canonical(map(lean, rows))
    given = [json.loads(line) for line in data.splitlines()]
    assert [(row["task_id"], row["annotator"]) for row in given] == [
        (task, name) for task in ("t0", "t1", "t2") for name in ("a", "b")
    ]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_one_changed_reading_of_fifty_is_one_changed_line(path, task_row, answer_row):
    tasks = [task_row(f"t{number:02d}") for number in range(50)]
    store(path, [answer_row(task) for task in tasks])
    before = path.read_text(encoding="utf-8").splitlines()
    changed = answer_row(tasks[17], answer="No", verdict="reject", note="second thoughts")
    store(path, merge(read_readings(path, tasks, "batch"), [changed]))
    after = path.read_text(encoding="utf-8").splitlines()
    assert len(after) == len(before) == 50
    differing = [n for n, pair in enumerate(zip(before, after, strict=True)) if len({*pair}) > 1]
    assert differing == [17]


HOSTILE = {
    "html": "<script>alert('x')</script><img src=x onerror=alert(1)>&amp;",
    "lines": "one\ntwo\r\nthree\rfour\x00five\u2028six",
    "emoji": "\U0001f9e0\U0001f469\u200d\u2695\ufe0f",
    "right to left": "\u202e\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "json": '"}\n{"task_id": "t1"}\\',
    "a formula": '=HYPERLINK("http://localhost")',
    "1 MB": "\u00e9" * 2**19,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("field", ["note", "annotator", "unjudged"])
def test_hostile_text_is_text_and_comes_back(path, tasks, field, name):
    text = HOSTILE[name]
    said = {"annotator": "reader-1", "answer": "Yes", field: text}
    if field == "unjudged":
        said["answer"] = ""
    rows = [reading(task, batch="batch", **said) for task in tasks]
    store(path, rows)
    assert path.read_bytes().count(b"\n") == 3
    found = read_readings(path, tasks, "batch")
    assert found == rows
    data = path.read_bytes()
    store(path, found)
    assert path.read_bytes() == data


def test_a_hostile_description_is_refused_as_text(path, tasks, answer_row):
    lines(path, [answer_row(tasks[0], description=HOSTILE["html"])])
    with pytest.raises(AnnotationError, match=":1: the description names no verdict"):
        read_readings(path, tasks, "batch")


def test_a_lone_surrogate_is_refused_before_anything_is_written(path, tasks, answer_row):
    assert encodable("\U0001f9e0")
    assert not encodable("\ud83e")
    store(path, [answer_row(tasks[0])])
    before = path.read_bytes()
    with pytest.raises(UnicodeEncodeError):
        store(path, [answer_row(tasks[0], note="\ud83e")])
    assert path.read_bytes() == before
    # A pair of them in JSON's own spelling is one whole character.
    rows = [answer_row(tasks[0], note="\U0001f9e0")]
    assert "\\ud83e\\udde0" in lines(path, rows).read_text(encoding="utf-8")
    assert read_readings(path, tasks, "batch") == full(rows)
