"""Several closed rounds: which stand on one scale, which is in force, and the table."""

from dataclasses import replace

import pytest

from medq_engine.history import champion, comparable, markdown, simulated, step_of, what_next
from tests.made_rounds import made


def test_the_table_has_a_row_a_round():
    one, two = made("pass", "inconclusive")
    two.labels["by_route"] = {"model": 40}  # a round in which no expert was asked
    two.gate["test_since_base"]["origin"] = {}  # all phantoms
    head, rule, first, second = markdown([one, two]).splitlines()
    assert {line.count("|") for line in (head, rule, first, second)} == {11}
    assert [cell.strip() for cell in first.split("|")[1:-1]] == [
        "round-001",
        "0000000001, 2026-03-01",
        "40 (10)",
        "8",
        "+3.0 (+1.0 to +5.0)",
        "pass",
        "50.0%",
        "53.0%",
        "+3.0 (+1.0 to +5.0)",
        "+3.0 (+1.0 to +5.0)",
    ]
    assert [cell.strip() for cell in second.split("|")[3:-1]] == [
        "40 (0)",
        "15",
        "+1.0 (-1.0 to +3.0)",
        "inconclusive",
        "50.0%",
        "53.0%",
        "+3.0 (+1.0 to +5.0)",
        "-",
    ]


def test_without_a_closed_round_the_table_is_its_head():
    assert len(markdown([]).splitlines()) == 2


def test_rounds_on_other_test_items_or_another_base_are_not_comparable():
    one, two, three, four = made("pass", "pass", "fail", "pass")
    other_items = replace(two, data={**two.data, "data/benchmark/test": {"md5": "d" * 32}})
    other_base = replace(three, data={**three.data, "models/base": {"md5": "e" * 32}})
    rounds = [one, other_items, other_base, four]
    assert comparable(rounds) == [one, four]
    assert comparable(rounds[:2]) == [other_items]
    assert comparable([]) == []


def test_the_champion_is_the_last_challenger_that_passed():
    rounds = made("pass", "pass", "fail")
    assert champion(rounds) is rounds[1]
    assert champion(made("fail", "inconclusive")) is None
    assert champion([]) is None


def test_simulated_readers_of_all_rounds_are_named_once():
    one, two = made("pass", "pass", people=("z (simulated)", "dr-a"))
    two.labels["annotators"] = {"a (simulated)": 3, "z (simulated)": 1}
    assert simulated([one, two]) == ["a (simulated)", "z (simulated)"]
    assert simulated(made("pass", people=("dr-a", "dr-b"))) == []


def test_a_step_has_the_gates_gain_in_points_with_its_standard_error():
    step = step_of(made("pass")[0])
    assert step.minutes == pytest.approx(7.5)
    assert step.gain == pytest.approx(3.0)
    assert step.error == pytest.approx(4 / (2 * 1.95996), rel=1e-4)
    assert step.passed


def test_what_next_stands_on_all_comparable_rounds_and_the_declared_price():
    rounds = made("pass", "inconclusive")
    outlook = what_next(rounds)
    assert outlook.rounds == 2
    assert outlook.least_gain == 0.2
    rounds[-1].params["stopping"]["least_gain"] = 1e6
    assert outlook.go_on != what_next(rounds).go_on


def test_nothing_is_said_without_a_price_a_round_or_an_experts_time():
    (one,) = made("pass")
    assert what_next([]) is None
    one.labels["expert_seconds"] = 0
    assert what_next([one]) is None
    (other,) = made("pass")
    del other.params["stopping"]
    assert what_next([other]) is None
