import pytest

from medq_engine.annotations import OPTIONAL
from medq_engine.config import Costs
from medq_engine.ledger import add, by_random_choice, ledger_of, purposes, with_rates
from medq_engine.tables import TASK, table

# 1 USD for every 30 seconds, 1 cent for a draft: 3 for a yes-no task with its two witnesses.
COSTS = Costs(currency="USD", person_hour=120.0, draft=0.01, model=0.0)


@pytest.fixture
def batch(task_row, answer_row):
    """Five expert tasks of every purpose, two unreviewed and one deferred, and all readings."""
    rows = [
        task_row("a"),
        task_row("b", readers=2),
        task_row("c", audit=True, unreviewed="model"),
        task_row("d", gold="Yes", arm="gold"),
        task_row("e", readers=2),
        task_row("f", route="model", unreviewed="model"),
        task_row("g", route="draft", unreviewed="draft"),
        task_row("h", route="deferred", unreviewed="deferred"),
    ]
    a, b, c, d, e = rows[:5]
    second = {"annotator": "reader-2"}
    given = [
        answer_row(a, seconds=30.0),
        answer_row(b, seconds=60.0),
        answer_row(b, seconds=15.0, **second),
        answer_row(c, seconds=30.0),
        answer_row(d, seconds=45.0, **second),
        answer_row(e, seconds=30.0),
        answer_row(e, seconds=30.0, answer="No", **second),
        answer_row(e, seconds=60.0, annotator="reader-0", adjudicates=True),
    ]
    return table(rows, TASK), [OPTIONAL | row for row in given]


LABELS = {"expert": 4, "model": 1, "draft": 1}


def part(counted: str, number: int, seconds: float, money: float) -> dict[str, object]:
    return {counted: number, "seconds": seconds, "money": pytest.approx(money)}


def test_readings_have_the_purpose_of_their_task_the_first_of_them(batch):
    found = [(why, row["task_id"], row["annotator"]) for why, row in purposes(*batch)]
    assert sorted(found) == sorted(
        [
            ("label", "a", "reader-1"),
            ("label", "b", "reader-1"),
            ("second reading", "b", "reader-2"),
            ("audit", "c", "reader-1"),
            ("gold", "d", "reader-2"),
            ("label", "e", "reader-1"),
            ("second reading", "e", "reader-2"),
            ("adjudication", "e", "reader-0"),
        ]
    )


def test_a_ledger_adds_up_by_hand(batch):
    found = ledger_of(*batch, LABELS, COSTS)
    assert found["labels"] == 6
    assert found["seconds"] == 300.0
    assert found["money"] == pytest.approx(10.0 + 8 * 0.03)
    assert found["by_annotator"] == {
        "reader-0": part("readings", 1, 60.0, 2.0),
        "reader-1": part("readings", 4, 150.0, 5.0),
        "reader-2": part("readings", 3, 90.0, 3.0),
    }
    assert found["by_purpose"] == {
        "label": part("readings", 3, 120.0, 4.0),
        "audit": part("readings", 1, 30.0, 1.0),
        "gold": part("readings", 1, 45.0, 1.5),
        "second reading": part("readings", 2, 45.0, 1.5),
        "adjudication": part("readings", 1, 60.0, 2.0),
    }


def test_checking_is_part_of_what_experts_labels_cost(batch):
    routes = ledger_of(*batch, LABELS, COSTS)["by_route"]
    assert list(routes) == ["deferred", "draft", "expert", "model"]
    money = 10.0 + 5 * 0.03
    assert routes["expert"] == {
        **part("labels", 4, 300.0, money),
        "seconds_per_label": 75.0,
        "money_per_label": pytest.approx(money / 4),
    }
    assert routes["model"] == {
        **part("labels", 1, 0.0, 0.03),
        "seconds_per_label": 0.0,
        "money_per_label": pytest.approx(0.03),
    }


def test_a_route_that_gave_no_label_has_no_price_for_one(batch):
    deferred = ledger_of(*batch, LABELS, COSTS)["by_route"]["deferred"]
    assert deferred == {
        **part("labels", 0, 0.0, 0.03),
        "seconds_per_label": None,
        "money_per_label": None,
    }


def test_the_parts_are_the_whole(batch):
    found = ledger_of(*batch, LABELS, COSTS)
    for name in ("labels", "seconds", "money"):
        assert sum(part[name] for part in found["by_route"].values()) == pytest.approx(found[name])
    for name in ("by_annotator", "by_purpose"):
        parts = found[name].values()
        assert sum(part["readings"] for part in parts) == 8
        assert sum(part["seconds"] for part in parts) == found["seconds"]


def test_the_models_own_answers_may_cost_too(batch):
    costs = Costs(currency="EUR", person_hour=0.0, draft=0.0, model=0.5)
    assert ledger_of(*batch, LABELS, costs)["money"] == 12.0


def test_a_round_without_tasks_costs_nothing():
    found = ledger_of(table([], TASK), [], {}, COSTS)
    assert found == {
        "labels": 0,
        "seconds": 0,
        "money": 0,
        "by_route": {},
        "by_annotator": {},
        "by_purpose": {},
    }


def test_two_rounds_are_as_one_with_the_tasks_of_both(batch, task_row, answer_row):
    tasks, given = batch
    more = table([task_row("x"), task_row("y", route="expert", audit=True)], TASK)
    read = [
        OPTIONAL | answer_row(task, annotator="reader-9", seconds=90.0) for task in more.to_dicts()
    ]
    first = ledger_of(tasks, given, LABELS, COSTS)
    second = ledger_of(more, read, {"expert": 2}, COSTS)
    both = ledger_of(tasks.vstack(more), given + read, LABELS | {"expert": 6}, COSTS)
    assert flat(add(first, second)) == pytest.approx(flat(both))
    assert flat(add(second, first)) == pytest.approx(flat(both))
    assert both["by_annotator"]["reader-9"]["readings"] == 2


def test_the_ledger_of_no_round_adds_nothing(batch):
    found = ledger_of(*batch, LABELS, COSTS)
    assert add(None, found) == found


def test_a_price_that_was_unknown_is_known_once_there_are_labels(batch):
    none, some = (ledger_of(*batch, {"expert": count}, COSTS) for count in (0, 4))
    assert none["by_route"]["expert"]["seconds_per_label"] is None
    assert add(none, some)["by_route"]["expert"]["seconds_per_label"] == 600 / 4
    assert add(none, none)["by_route"]["expert"]["money_per_label"] is None


def test_rates_do_not_change_what_they_are_made_of():
    plain = {"by_route": {"expert": {"labels": 2, "seconds": 60.0, "money": 5.0}}}
    found = with_rates(plain)
    assert found["by_route"]["expert"]["money_per_label"] == 2.5
    assert "money_per_label" not in plain["by_route"]["expert"]


def flat(ledger: dict[str, object], under: str = "") -> dict[str, object]:
    """A ledger's numbers by their path."""
    found = {}
    for name, value in ledger.items():
        path = f"{under}/{name}"
        found |= flat(value, path) if isinstance(value, dict) else {path: value}
    return {path: -1 if value is None else value for path, value in found.items()}


def test_random_choice_meets_wrong_answers_as_often_as_the_control_arm():
    found = by_random_choice(100, 70, {"rate": 0.5, "low": 0.25, "high": 0.75})
    assert found == {
        "labels": 100,
        "bought": 70,
        "corrected": 50.0,
        "corrected_low": 25.0,
        "corrected_high": 75.0,
    }


def test_what_was_never_measured_is_not_guessed():
    assert by_random_choice(100, 70, {"rate": None, "low": 0.0, "high": 1.0}) == {
        "labels": 100,
        "bought": 70,
        "corrected": None,
        "corrected_low": None,
        "corrected_high": None,
    }
