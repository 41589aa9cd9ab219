import warnings

import pytest
from PIL import Image

from medq_engine.annotations import reading
from medq_engine.answer_sheet import answer_sheet


class Pictures(dict):
    """The same picture for every image."""

    def __missing__(self, image_id):
        return Image.new("RGB", (96, 96), "teal")


@pytest.fixture
def task(task_row):
    """A task as the queue holds it."""

    def made(task_id, **changes):
        return task_row(task_id) | {"readers": 1, "blind": False} | changes

    return made


def said(task, answer="Yes", who="Ada", seconds=30.0, **changes):
    return reading(task, who, "batch", answer, seconds=seconds, **changes)


def test_suspects_come_first_and_say_why(task, texts, tmp_path):
    tasks = [task("a"), task("b"), task("c", readers=2), task("d")]
    given = [said(tasks[0]), said(tasks[1], verdict="reject"), said(tasks[2])]
    given.append(said(tasks[1], "No", who="Bo"))
    answer_sheet(tasks, given, Pictures(), tmp_path / "a.png")
    assert texts[:2] == ["2 answered tasks", "1 to look at, framed, come first"]
    question = "Is there aliasing in this\nMRI image?"
    assert texts[2:] == [
        f"b\n{question}\nYes (reject): Ada\nNo: Bo\n! readers disagree",
        f"a\n{question}\nYes: Ada",
    ]


def test_thirty_are_shown_and_the_rest_counted(task, texts, tmp_path):
    tasks = [task(f"t{n:02d}") for n in range(33)]
    answer_sheet(tasks, [said(t, who="x (simulated)") for t in tasks], Pictures(), tmp_path / "a")
    assert texts[0] == "33 answered tasks, simulated readings among them"
    assert texts[1] == "0 to look at, framed, come first; 3 more not shown"
    assert len(texts) == 32


def test_hostile_names_are_drawn_as_text_without_a_warning(task, texts, tmp_path):
    tasks = [task("a"), task("b")]
    given = [said(tasks[0], who="$\\frac$ 画像\n" + "x" * 2**20), said(tasks[1], who="a$b$c")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer_sheet(tasks, given, Pictures(), tmp_path / "a.png")
    assert any("\\$\\frac\\$ 画像" in text for text in texts)
    assert any("a\\$b\\$c" in text for text in texts)
    assert Image.open(tmp_path / "a.png").height < 600


def test_the_same_answers_give_the_same_bytes_and_none_says_so(task, texts, tmp_path):
    tasks = [task("a"), task("b")]
    for name, given in (("one", tasks), ("two", tasks[::-1])):
        answer_sheet(tasks, [said(t) for t in given], Pictures(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    texts.clear()
    answer_sheet(tasks, [], Pictures(), tmp_path / "none")
    assert texts == ["nothing to show: no task is answered yet"]
