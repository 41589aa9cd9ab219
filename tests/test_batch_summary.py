from pathlib import Path

import numpy as np
import polars as pl
import pytest
from markdown_it import MarkdownIt

from medq_engine.annotations import reading
from medq_engine.batch_summary import summary
from medq_engine.batches import Batch

HOSTILE = "Eve | <script>alert(1)</script>\n\n# @octocat [a](http://x.example) `b` $c$ \u202e"


@pytest.fixture
def task(task_row):
    """A task as the queue holds it."""

    def made(task_id, **changes):
        return task_row(task_id) | {"readers": 1, "blind": False} | changes

    return made


def said(task, answer="Yes", who="Ada", seconds=30.0, **changes):
    return reading(task, who, "batch", answer, seconds=seconds, **changes)


def told(tasks, readings, table=None, floor=0.7):
    batch = Batch("round-001", tuple(tasks), "0123456789ab", Path("queue"), Path("answers"))
    return summary(batch, readings, table, np.random.default_rng(0), floor)


def tables(text):
    """Tables of Markdown, each as rows of cells as people see them."""
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and token.level > 3:
            cell = "".join(part.content for part in token.children if part.type == "text")
            found[-1][-1].append(cell.replace("\u200b", ""))
    return found


def rows(text, first):
    """The table whose first column has a name, as cells behind the first by the first."""
    (table,) = (table for table in tables(text) if table[0][0] == first)
    return {row[0]: row[1:] for row in table[1:]}


def gold_table(known):
    """What `summary` reads of the round's tasks: routes, and answers known beforehand."""
    return pl.DataFrame(
        {"task_id": list(known), "gold": list(known.values()), "route": ["expert"] * len(known)}
    )


def test_the_head_says_how_far_the_batch_is(task):
    tasks = [task(f"t{n}", readers=2 if n == 1 else 1) for n in range(6)]
    given = [said(t) for t in tasks[:3]]
    given += [said(tasks[2], "No", who="Bo"), said(tasks[3], "", unjudged="dark")]
    head = told(tasks, given).split("\n\n")
    assert head[0] == "# round-001: 6 tasks for people"
    assert head[1] == (
        "**4 of 6 tasks answered**; without a second reader: 1, disputed: 1, cannot be judged: 1; "
        "readings: 5, minutes: 2; batch `0123456789ab`."
    )
    assert head[2] == "## Look at these first"


def test_what_is_suspect_stands_first_with_task_readings_and_reason(task):
    tasks = [task("t0", draft="Yes"), task("t1"), task("t2")]
    given = [said(tasks[0], "No", verdict="good"), said(tasks[1]), said(tasks[1], "No", who="Bo")]
    first = tables(told(tasks, given))[0]
    question = tasks[0]["question"]
    assert first == [
        ["task", "question", "readings", "why"],
        ["t1", question, "Ada: Yes; Bo: No", "readers disagree"],
        ["t0", question, "Ada: No (good)", "model and draft both say Yes"],
    ]
    assert "Nothing stands out." in told(tasks, [said(tasks[2])])


def test_at_most_thirty_suspects_are_shown_and_the_rest_counted(task):
    tasks = [task(f"t{n:02d}", draft="Yes") for n in range(33)]
    text = told(tasks, [said(t, "No") for t in tasks])
    assert len(tables(text)[0]) == 31
    assert "\n\nand 3 more\n" in text


def test_answered_tasks_are_counted_by_slice_and_purpose(task):
    tasks = [
        task("t0"),
        task("t1", modality="ct", question_type="what", blind=True),
        task("t2", modality="ct", question_type="what", readers=2),
        task("t3", modality="ct"),
    ]
    text = told(tasks, [said(tasks[0]), said(tasks[1])])
    assert rows(text, "purpose") == {
        "model and draft shown": ["1 of 3"],
        "judged unaided (audit, or answer known)": ["1 of 1"],
        "wanted twice": ["0 of 1"],
    }
    slices = next(
        table for table in tables(text) if table[0][1:] == ["yes-no", "what", "how", "all"]
    )
    assert slices[1:] == [
        ["MRI", "1 of 1", "-", "-", "1 of 1"],
        ["CT", "0 of 1", "1 of 2", "-", "1 of 3"],
        ["all", "1 of 2", "1 of 2", "-", "2 of 4"],
    ]


def test_annotators_are_told_with_their_times(task):
    tasks = [task(f"t{n}", blind=True) for n in range(3)]
    given = [
        said(tasks[0], seconds=60.0),
        said(tasks[1], seconds=30.0, unblinded=True),
        said(tasks[2], "", seconds=30.0, unjudged="dark"),
        said(tasks[0], "No", who="Bo", seconds=0.0),
        said(tasks[0], who="Cy", adjudicates=True),
    ]
    assert rows(told(tasks, given), "annotator") == {
        "Ada": ["3", "2.0", "30", "0", "1", "1"],
        "Bo": ["1", "0.0", "not taken", "0", "0", "0"],
        "Cy": ["1", "0.5", "30", "1", "0", "0"],
    }
    assert "Nobody has answered yet." in told(tasks, [])


def test_differences_from_model_and_draft_count_what_is_settled(task):
    tasks = [task(f"t{n}") for n in range(4)] + [task("t4", modality="ct", draft="")]
    given = [said(t, "No") for t in tasks[:3]] + [said(tasks[4])]
    given.append(said(tasks[2], "Yes", who="Bo"))  # disputed: no answer counts yet
    shares = next(t for t in tables(told(tasks, given)) if "differ from the draft" in t[0])
    assert shares[1:] == [
        ["MRI", "2 of 2: 100% (34% to 100%)", "0 of 2: 0% (0% to 66%)"],
        ["CT", "0 of 1: 0% (0% to 79%)", "-"],
        ["all", "2 of 3: 67% (21% to 94%)", "0 of 2: 0% (0% to 66%)"],
    ]


def test_agreement_is_told_by_scale_and_disputes_are_listed(task):
    tasks = [task(f"t{n}") for n in range(4)]
    given = [said(t, a) for t, a in zip(tasks, ["Yes", "No", "Yes", "No"], strict=True)]
    given += [said(t, "Yes", who="Bo") for t in tasks[:2]]
    text = told(tasks, given)
    assert rows(text, "scale")["presence"][:2] == ["2", "50% (9% to 91%)"]
    assert "adjudicated by `medq review`: t1." in text
    assert "No task has two readings" in told(tasks, given[:4])


def test_gold_results_are_told_by_annotator_and_name_no_task(task):
    tasks = [task(f"t{n:02d}", blind=True) for n in range(12)]
    given = [said(t, who="Ada") for t in tasks] + [said(t, "No", who="Bo") for t in tasks]
    # Bo's answers are all wrong, and settled so that no task is listed as disputed.
    given += [said(t, who="Cy", adjudicates=True) for t in tasks]
    text = told(tasks, given, gold_table(dict.fromkeys((t["task_id"] for t in tasks), "Yes")))
    assert "All 12 tasks of the round by route: expert 12." in text
    part = text.split("## Tasks with a known answer")[1]
    assert tables(part)[0] == [
        ["annotator", "right", "surely below 70%"],
        ["Ada", "12 of 12: 100% (76% to 100%)", "no"],
        ["Bo", "0 of 12: 0% (0% to 24%)", "yes"],
    ]
    assert "**The batch is held back**: Bo below the floor of 70%." in part
    assert "t0" not in part
    assert "known answer" not in told(tasks, given)


def test_nobody_can_watch_a_gold_result_change(task):
    tasks = [task("t0", blind=True), task("t1", blind=True), task("t2")]
    gold = gold_table({"t0": "Yes", "t1": "Yes", "t2": ""})
    parts = [
        told(tasks, [said(tasks[0], given)], gold).split("## Tasks with a known answer")[1]
        for given in ("Yes", "No")
    ]
    assert parts[0] == parts[1]
    assert "Told when every task is answered" in parts[0]


def test_what_is_simulated_is_said(task):
    tasks = [task("t0"), task("t1")]
    own = [said(t, who="expert (simulated)") for t in tasks]
    assert "**All of these readings are simulated**" in told(tasks, own)
    assert "**Some of these readings are simulated**" in told(tasks, [own[0], said(tasks[1])])
    assert "simulated" not in told(tasks, [said(tasks[0])])


def test_hostile_text_breaks_nothing_and_a_megabyte_is_cut(task):
    tasks = [task("t0", draft="Yes", question=HOSTILE), task("t1")]
    bad = [
        said(tasks[0], "No", who=HOSTILE),
        said(tasks[0], "", who="Bo", unjudged=HOSTILE + "x" * 2**20),
    ]
    good = [said(tasks[0], "No", who="Eve"), said(tasks[0], "", who="Bo", unjudged="dark")]
    text, plain = told(tasks, bad), told(tasks, good)
    assert len(text) < 8000
    assert [[len(row) for row in t] for t in tables(text)] == [
        [len(row) for row in t] for t in tables(plain)
    ]
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    kinds = [
        {part.type for token in parser.parse(each) for part in (token, *(token.children or ()))}
        for each in (text, plain)
    ]
    assert kinds[0] == kinds[1]
    assert "@octocat" not in text
    assert "http://" not in text
    assert "\u202e" not in text


def test_an_empty_batch_is_told_too(task):
    assert told([], []).startswith("# round-001: 0 tasks for people\n\n**0 of 0 tasks answered**")


def test_the_same_readings_give_the_same_text(task):
    tasks = [task(f"t{n}") for n in range(5)]
    given = [said(t, who=who) for t in tasks for who in ("Ada", "Bo")]
    assert told(tasks, given) == told(tasks, given[::-1])
