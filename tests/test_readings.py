from contextlib import contextmanager
from itertools import permutations
from pathlib import Path

import pytest

from medq_engine.annotations import AnnotationError, key, reading, store
from medq_engine.descriptions import describe
from medq_engine.language import Finding
from medq_engine.readings import (
    Pending,
    Waiting,
    by_task,
    complete,
    disagree,
    first_readings,
    settled,
    tasks_for,
    waiting,
)

Row = dict[str, object]
MILD = describe("mri", [Finding("aliasing", "mild")])
SEVERE = describe("mri", [Finding("aliasing", "severe")])


@pytest.fixture
def says(queue_row):
    """A reading of task t0 (or another) by somebody: an answer and what else it has."""

    def made(annotator: str, answer: str = "Yes", task: str = "t0", **said: object) -> Row:
        return reading(queue_row(task), annotator, "batch", answer, **said)

    return made


@pytest.fixture
def unable(says):
    """Somebody cannot judge task t0 (or another)."""

    def made(annotator: str, task: str = "t0", **said: object) -> Row:
        return says(annotator, "", task, unjudged="black", **said)

    return made


def test_readings_are_grouped_by_task_and_stand_by_name(says):
    rows = [says("c"), says("a", task="t1"), says("b"), says("a")]
    found = by_task(rows)
    assert {task: [row["annotator"] for row in group] for task, group in found.items()} == {
        "t0": ["a", "b", "c"],
        "t1": ["a"],
    }
    assert by_task([]) == {}


def test_adjudications_are_no_first_readings(says):
    rows = [says("a"), says("b", "No"), says("c", adjudicates=True)]
    assert first_readings(rows) == rows[:2]


def test_one_reader_does_not_disagree(says):
    assert not disagree([])
    assert not disagree([says("a")])


def test_readers_disagree_about_the_answer(says):
    assert not disagree([says("a"), says("b")])
    assert disagree([says("a"), says("b", "No")])
    assert disagree([says("a"), says("b"), says("c", "No")])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"verdict": "usable"}, {"verdict": "reject"}, True),
        ({"verdict": "usable"}, {"verdict": "usable"}, False),
        ({"verdict": "usable"}, {}, False),
        ({"description": MILD}, {"description": SEVERE}, True),
        ({"description": MILD}, {"description": MILD + " "}, False),
        ({"description": MILD}, {"verdict": "reject"}, True),
        ({"description": MILD}, {"verdict": "usable"}, False),
        ({"description": MILD}, {}, False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else str(value),
)
def test_readers_disagree_about_the_verdict_where_both_give_one(says, one, other, expected):
    rows = [says("a", **one), says("b", **other)]
    assert disagree(rows) == disagree(rows[::-1]) == expected


def test_readers_disagree_where_only_one_of_them_can_judge(says, unable):
    assert disagree([says("a"), unable("b")])
    assert not disagree([unable("a"), unable("b")])


def test_time_notes_and_opened_hints_are_no_disagreement(says):
    assert not disagree([says("a", seconds=3, note="x"), says("b", unblinded=True)])


def test_an_adjudication_does_not_make_the_first_readings_agree(says):
    assert disagree([says("a"), says("b", "No"), says("c", adjudicates=True)])
    assert not disagree([says("a"), says("c", "No", adjudicates=True)])


def test_what_one_reader_says_counts(says, unable):
    only = says("a")
    assert settled([only]) is only
    assert settled([]) is None
    assert settled([unable("a")]) is None


def test_of_readings_that_agree_the_first_with_a_description_counts(says):
    bare, short, long = says("a"), says("b", description=MILD), says("c", description=MILD)
    assert settled([bare, short, long]) is short
    assert settled([bare, says("b")]) is bare


def test_readings_that_disagree_settle_nothing_until_an_adjudication_does(says, unable):
    rows = [says("a", description=MILD), says("b", "No")]
    assert settled(rows) is None
    ruled = says("c", "No", adjudicates=True)
    for order in permutations([*rows, ruled]):
        assert settled(order) is ruled
    assert settled([*rows, unable("c", adjudicates=True)]) is None
    assert settled([says("a"), unable("b")]) is None
    assert settled([unable("a"), unable("b")]) is None


def test_who_disagreed_may_adjudicate(says):
    ruled = says("a", "No", adjudicates=True)
    assert settled([says("a"), says("b", "No"), ruled]) is ruled


@pytest.fixture
def tasks(queue_row) -> list[Row]:
    """t0 and t1 want one reader, t2 and t3 two."""
    return [queue_row(f"t{n}", readers=1 + (n > 1)) for n in range(4)]


def test_everything_waits_at_first(tasks):
    found = waiting(tasks, [])
    assert found == Waiting(("t0", "t1", "t2", "t3"), (), ())
    assert found.tasks == ("t0", "t1", "t2", "t3")


def test_tasks_wait_for_a_first_and_a_second_reader_and_an_adjudication(tasks, says, unable):
    given = [
        says("a", task="t3"),
        says("b", "No", task="t3"),
        says("a", task="t2"),
        says("a", task="t1"),
        says("b", "No", task="t1"),  # nobody asked for a second reading, but here it is
    ]
    assert waiting(tasks, given) == Waiting(("t0",), ("t2",), ("t1", "t3"))
    given += [
        unable("b", "t0"),
        says("b", task="t2"),
        says("a", task="t1", adjudicates=True),
        unable("c", "t3", adjudicates=True),
    ]
    assert waiting(tasks, given) == Waiting((), (), ())


def test_a_second_reader_is_wanted_also_where_the_first_cannot_judge(tasks, says, unable):
    assert waiting(tasks[2:3], [unable("a", "t2")]).second == ("t2",)
    assert waiting(tasks[2:3], [unable("a", "t2"), says("b", task="t2")]).disputed == ("t2",)


def test_waiting_is_in_the_order_of_the_batch(tasks):
    assert waiting(tasks[::-1], []).unanswered == ("t3", "t2", "t1", "t0")


def test_nothing_to_wait_for_is_told_in_no_words():
    assert str(Waiting((), (), ())) == ""
    text = str(Waiting(("a",), (), ("b", "c")))
    assert text == "1 without an answer, 2 in dispute, to be adjudicated"


def todo(annotator: str, tasks: list[Row], given: list[Row]) -> list[tuple[str, bool]]:
    return [(task["task_id"], ruling) for task, ruling in tasks_for(annotator, tasks, given)]


def test_a_first_reader_may_read_everything(tasks):
    assert todo("a", tasks, []) == [(f"t{n}", False) for n in range(4)]
    assert tasks_for("a", tasks, [])[2][0] is tasks[2]


def test_nobody_reads_a_task_twice_and_adjudications_come_last(tasks, says):
    given = [
        says("a", task="t0"),
        says("b", "No", task="t0"),
        says("a", task="t2"),
    ]
    assert todo("a", tasks, given) == [("t1", False), ("t3", False), ("t0", True)]
    assert todo("b", tasks, given) == [("t1", False), ("t2", False), ("t3", False), ("t0", True)]
    assert todo("c", tasks, given) == todo("b", tasks, given)


def test_what_is_settled_is_nobodys_task_any_more(tasks, says):
    given = [says("a", task="t0"), says("b", "No", task="t0")]
    given += [says("c", task="t0", adjudicates=True)]
    given += [says(name, task="t2") for name in "ab"]
    assert todo("d", tasks, given) == [("t1", False), ("t3", False)]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "round-001.jsonl"


def test_a_batch_that_waits_for_nobody_is_complete(path, tasks, says, unable):
    given = [
        says("a", task="t0"),
        unable("a", "t1"),
        *(says(name, task="t2") for name in "ab"),
        says("a", task="t3"),
        says("b", "No", task="t3"),
        says("c", task="t3", adjudicates=True),
    ]
    store(path, given)
    assert sorted(complete(path, tasks, "batch"), key=key) == sorted(given, key=key)


def test_an_empty_batch_is_complete_without_a_file(path):
    assert complete(path, [], "batch") == []


def test_a_missing_file_means_that_everything_is_pending(path, tasks):
    with pytest.raises(Pending) as stop:
        complete(path, tasks, "batch")
    assert stop.value.waiting.unanswered == ("t0", "t1", "t2", "t3")
    assert f"of 4 tasks in {path}, 4 without an answer\n" in str(stop.value)
    assert "`medq review`" in str(stop.value)


def test_pending_lists_what_is_missing_and_why(path, tasks, says):
    given = [says("a", task="t1"), says("b", "No", task="t1"), says("a", task="t2")]
    store(path, [*given, says("a", task="t0")])
    with pytest.raises(Pending) as stop:
        complete(path, tasks, "batch")
    assert stop.value.waiting == Waiting(("t3",), ("t2",), ("t1",))
    expected = (
        "1 without an answer, 1 without a second reader, 1 in dispute, to be adjudicated\n"
        "  pending: t3, t2, t1\n"
    )
    assert expected in str(stop.value)


@pytest.mark.parametrize("missing", ["second", "adjudication"])
def test_a_double_annotation_alone_may_be_what_is_pending(path, tasks, says, missing):
    given = [says("a", task=f"t{n}") for n in range(4)] + [says("b", task="t2")]
    if missing == "adjudication":
        given.append(says("b", "No", task="t3"))
    store(path, given)
    with pytest.raises(Pending, match="pending: t3\n") as stop:
        complete(path, tasks, "batch")
    assert not stop.value.waiting.unanswered


def test_pending_shows_the_first_tasks_of_many():
    ids = tuple(f"t{n}" for n in range(9))
    text = str(Pending(Path("x"), Waiting(ids[:4], ids[4:], ()), 9))
    assert "t4 ..." in text
    assert "t5" not in text


def test_pending_passes_through_a_context_manager(path):
    @contextmanager
    def stage():
        yield

    with pytest.raises(Pending) as stop, stage():
        raise Pending(path, Waiting(("t0",), (), ()), 3)
    assert stop.value.waiting.tasks == ("t0",)


def test_a_fault_comes_before_what_is_pending(path, tasks, says):
    store(path, [says("a", "Perhaps")])
    with pytest.raises(AnnotationError, match="'Perhaps' is none of the options"):
        complete(path, tasks, "batch")
