import pytest

from medq_engine.annotations import reading
from medq_engine.scrutiny import paces, suspects


@pytest.fixture
def task(task_row):
    """A task as the queue holds it: model and draft disagree, one reader."""

    def made(task_id, **changes):
        return task_row(task_id) | {"readers": 1, "blind": False} | changes

    return made


def said(task, answer="Yes", who="a", seconds=30.0, **changes):
    return reading(task, who, "batch", answer, seconds=seconds, **changes)


def reasons(tasks, readings):
    return {s.task["task_id"]: [why for _, why in s.reasons] for s in suspects(tasks, readings)}


def test_an_ordinary_reading_is_not_suspect(task):
    tasks = [task("t0"), task("t1")]
    assert suspects(tasks, [said(t) for t in tasks]) == []


def test_the_gravest_come_first_and_then_the_order_of_tasks(task):
    tasks = [
        task("quick"),
        task("both", draft="Yes"),
        task("dark"),
        task("opened", blind=True),
        task("split", readers=2),
        task("another", blind=True),
    ]
    rows = [
        said(tasks[0], seconds=2.0),
        said(tasks[1], "No"),
        said(tasks[2], "", unjudged="too dark"),
        said(tasks[3], unblinded=True),
        said(tasks[4]),
        said(tasks[4], "No", who="b"),
        said(tasks[5], unblinded=True),
    ]
    assert reasons(tasks, rows) == {
        "split": ["readers disagree"],
        "another": ["opened model and draft before judging"],
        "opened": ["opened model and draft before judging"],
        "both": ["model and draft both say Yes"],
        "quick": ["read in 2.0 s (median 30 s)"],
        "dark": ["cannot judge: too dark"],
    }
    assert list(reasons(tasks, rows)) == ["split", "another", "opened", "both", "quick", "dark"]


def test_one_task_gathers_all_that_speaks_against_it_with_names(task):
    tasks = [task("t0", readers=2), *(task(f"t{n}") for n in range(1, 4))]
    rows = [said(tasks[0], who="b", seconds=1.0), *(said(t, who="b") for t in tasks[1:])]
    rows.append(said(tasks[0], "No", unblinded=True))
    (found,) = suspects(tasks, rows)
    assert found.reasons == (
        ("", "readers disagree"),
        ("a", "opened model and draft before judging"),
        ("b", "read in 1.0 s (median 30 s)"),
    )
    assert [row["annotator"] for row in found.readings] == ["a", "b"]


def test_a_task_that_waits_for_its_second_reader_is_not_told(task):
    tasks = [task("t0", readers=2, draft="Yes"), task("t1")]
    rows = [said(tasks[0], "No", unblinded=True), said(tasks[1])]
    assert suspects(tasks, rows) == []
    assert suspects(tasks, [*rows, said(tasks[0], "No", who="b")])


def test_a_settled_dispute_is_none_any_more(task):
    tasks = [task("t0")]
    rows = [said(tasks[0]), said(tasks[0], "No", who="b")]
    assert suspects(tasks, rows)
    assert suspects(tasks, [*rows, said(tasks[0], who="c", adjudicates=True)]) == []


@pytest.mark.parametrize(
    ("model", "draft", "suspect"),
    [("Yes", "Yes", True), ("Yes", "No", False), ("No", "No", False), ("Yes", "", False)],
)
def test_only_an_answer_against_both_is_suspect(task, model, draft, suspect):
    tasks = [task("t0", model_answer=model, draft=draft)]
    assert bool(suspects(tasks, [said(tasks[0], "No")])) == suspect


@pytest.mark.parametrize(("seconds", "suspect"), [(11.9, True), (12.1, False), (4.9, True)])
def test_quick_is_against_the_readers_own_pace(task, seconds, suspect):
    tasks = [task(f"t{n}") for n in range(4)]
    rows = [said(t, seconds=60.0) for t in tasks[:3]] + [said(tasks[3], seconds=seconds)]
    assert (list(reasons(tasks, rows)) == ["t3"]) == suspect


def test_times_that_were_not_taken_are_not_quick(task):
    tasks = [task("t0"), task("t1")]
    rows = [said(t, seconds=0.0) for t in tasks]
    assert suspects(tasks, rows) == []
    assert paces([*rows, said(tasks[0], who="b", seconds=8.0)]) == {"a": 0.0, "b": 8.0}
