from itertools import product

import numpy as np
import polars as pl
import pytest

from medq_engine.checks import (
    GOLD,
    QUEUE,
    Quota,
    gold_tasks,
    queue_row,
    quota_of,
    second_readers,
)
from medq_engine.config import RouteParams
from medq_engine.language import Finding, answer, question
from medq_engine.tables import ITEM, PROTOTYPE, TASK, table

Row = dict[str, object]


def settings(expert=1.0, audit=0.0, gold=0.0, double=0.0, control=0.0) -> RouteParams:
    shares = {"audit_share": audit, "gold_share": gold, "double_share": double}
    return RouteParams(
        rule="risk",
        noise_target=0.02,
        noise_confidence=0.9,
        entropy_quantile=0.5,
        agreement=0.5,
        expert_share=expert,
        diminishing=0.5,
        control_share=control,
        **shares,
    )


def test_a_quota_is_paid_out_of_the_experts_share():
    found = quota_of(1000, settings(0.2, audit=0.1, gold=0.05, double=0.05, control=0.2))
    assert found == Quota(readings=200, audits=20, gold=10, doubles=10, control=40)
    assert found.experts == 180


def test_without_checks_every_reading_is_a_label():
    assert quota_of(100, settings(0.29)) == Quota(29, 0, 0, 0, 0)
    assert quota_of(100, settings(0.29)).experts == 29


SHARES = (0.0, 0.05, 0.1, 0.33, 0.5, 0.9, 1.0)


@pytest.mark.parametrize("expert", [0.0, 0.18, 0.29, 1.0])
def test_no_quota_is_above_the_ceiling_and_no_part_below_nothing(expert):
    checked = [shares for shares in product(SHARES, repeat=4) if sum(shares) <= 1]
    for shares, tasks in product(checked, (0, 1, 2, 3, 7, 15, 30, 101)):
        found = quota_of(tasks, settings(expert, *shares))
        assert found.readings <= expert * tasks + 1e-9
        # Every expert's task is read once, and some of them twice; gold tasks are read once.
        assert found.experts + found.doubles + found.gold == found.readings
        assert 0 <= found.audits + found.control <= found.experts
        assert 0 <= found.doubles <= found.experts
        assert found.gold >= 0


def test_two_readers_are_drawn_among_the_experts_tasks():
    routes = ["expert", "model", "expert", "draft", "deferred"] * 8
    experts = {i for i, route in enumerate(routes) if route == "expert"}
    seen = set()
    for seed in range(30):
        found = second_readers(routes, 5, np.random.default_rng(seed))
        twice = {i for i, count in enumerate(found) if count == 2}
        assert set(found) == {1, 2}
        assert len(twice) == 5
        assert twice <= experts
        seen |= twice
    assert seen == experts


def test_there_are_no_more_second_readers_than_tasks():
    rng = np.random.default_rng(0)
    assert second_readers(["model", "expert", "expert"], 5, rng) == [1, 2, 2]
    assert second_readers(["model", "draft"], 5, rng) == [1, 1]
    assert second_readers(["expert", "expert"], 0, rng) == [1, 1]


def finding(label: str, severity: str = "mild") -> Row:
    return {"label": label, "severity": severity, "place": ""}


MRI = (None, "aliasing", "blur", "spike noise")


@pytest.fixture
def items(item_row) -> pl.DataFrame:
    """Dev: MRI images with one fault or none, each asked all three kinds; and what must stay out.

    The yes-no questions ask about aliasing, so that about half of the answers are No.
    """
    rows = []
    for number in range(24):
        label = MRI[number % 4]
        shown = [finding(label, ("mild", "severe")[number // 4 % 2])] if label else []
        asked = {"image_ids": [f"dev{number}"], "findings": shown}
        for kind in ("yes-no", "what", "how"):
            attribute = "aliasing" if kind == "yes-no" else label or ""
            rows.append(
                item_row(f"{number}-{kind}", question_type=kind, attribute=attribute, **asked)
            )
    two = {"image_ids": ["two faults"], "findings": [finding("aliasing"), finding("blur")]}
    rows.append(item_row("two", **two))
    open_ended = {"question_type": "", "options": [], "answer": "", "attribute": ""}
    rows.append(item_row("text", task="description", image_ids=["described"], **open_ended))
    pair = {"image_ids": ["left", "right"], "findings": []}
    rows.append(item_row("pair", task="comparison", **pair, **open_ended))
    return table(rows, ITEM)


def prototype(number: int, kind: str, attribute: str, modality: str = "mri") -> Row:
    about = {"modality": modality, "question_type": kind, "attribute": attribute}
    return {"prototype_id": f"p{number:02d}", **about}


PROTOTYPES = table(
    [
        prototype(0, "yes-no", "aliasing"),
        prototype(1, "yes-no", "blur"),
        prototype(2, "what", "blur"),
        prototype(3, "how", "spike noise"),
        prototype(4, "how", "aliasing"),
        prototype(5, "how", "blur", "ct"),
    ],
    PROTOTYPE,
)


def drawn(items: pl.DataFrame, count: int = 24, seed: int = 0, prototypes=PROTOTYPES) -> list[Row]:
    return gold_tasks(items, prototypes, count, 3, np.random.default_rng(seed))


def test_the_answer_of_a_gold_task_is_right_by_construction(items):
    shown = {
        row["image_ids"][0]: [Finding(**finding) for finding in row["findings"]]
        for row in items.iter_rows(named=True)
    }
    seen = set()
    for task in (task for seed in range(5) for task in drawn(items, seed=seed)):
        kind, truth = task["question_type"], shown[task["image_id"]]
        text, options = question(kind, "mri", task["attribute"])
        assert (task["question"], tuple(task["options"])) == (text, options)
        assert task["gold"] == answer(kind, truth, task["attribute"])
        assert task["gold"] in task["options"]
        seen.add((kind, task["gold"]))
    assert {kind for kind, _ in seen} == {"yes-no", "what", "how"}
    assert {("yes-no", "Yes"), ("yes-no", "No"), ("what", "no degradation")} <= seen


def test_gold_tasks_are_about_one_image_each_with_at_most_one_fault(items):
    tasks = drawn(items, count=99)
    assert sorted(task["image_id"] for task in tasks) == sorted(f"dev{n}" for n in range(24))
    assert len({task["task_id"] for task in tasks}) == 24
    assert all(task["task_id"] == f"r003-{task['image_id']}" for task in tasks)
    assert {(task["arm"], task["round"]) for task in tasks} == {(GOLD, 3)}


@pytest.mark.parametrize("count", [0, 1, 5])
def test_as_many_gold_tasks_as_wanted(items, count):
    assert len(drawn(items, count)) == count


def test_gold_tasks_are_seeded(items):
    assert drawn(items, 8) == drawn(items, 8)
    assert drawn(items, 8) != drawn(items, 8, seed=1)


def test_over_many_draws_every_image_may_be_gold(items):
    seen = {task["image_id"] for seed in range(40) for task in drawn(items, 4, seed)}
    assert seen == {f"dev{n}" for n in range(24)}


def test_a_gold_task_borrows_a_prototype_that_asks_the_like(items):
    about = {row["prototype_id"]: row for row in PROTOTYPES.iter_rows(named=True)}
    borrowed = set()
    for task in (task for seed in range(5) for task in drawn(items, seed=seed)):
        like = about[task["prototype_id"]]
        assert (like["modality"], like["question_type"]) == ("mri", task["question_type"])
        assert like["attribute"] == task["attribute"]
        borrowed.add(task["prototype_id"])
    assert borrowed == {"p00", "p02", "p03", "p04"}


def test_only_what_no_prototype_asks_is_asked_without_one_as_of_control_images(items):
    """A yes-no question without a prototype could be no audit: it would give the gold task away."""
    for seed in range(5):
        tasks = drawn(items, 99, seed, prototypes=PROTOTYPES[1:2])
        assert len(tasks) == 24
        assert {(task["prototype_id"], task["question_type"]) for task in tasks} == {("", "what")}


def test_without_an_item_there_is_no_gold_task(items):
    assert drawn(items[:0]) == []


def test_people_do_not_see_why_a_task_is_asked(task_row):
    row = queue_row(task_row("t0", audit=True))
    assert set(row) == {*QUEUE, "blind"}
    assert not {"audit", "gold", "unreviewed", "arm"} & set(row)
    assert row["blind"] is True


def test_audits_and_gold_tasks_look_alike(task_row):
    audit = task_row("t0", audit=True, unreviewed="model", arm="control")
    gold = task_row("t0", gold="Yes", arm=GOLD)
    assert queue_row(audit) == queue_row(gold)
    plain = queue_row(task_row("t0"))
    assert plain["blind"] is False
    assert plain | {"blind": True} == queue_row(audit)


def test_a_queue_row_is_what_the_table_says(task_row):
    task = table([task_row("t0", readers=2)], TASK).to_dicts()[0]
    row = queue_row(task)
    assert all(row[name] == task[name] for name in QUEUE)
    assert row["readers"] == 2
