"""The few numbers of a round that DVC shows."""

import pytest

from medq_engine.round_summary import summary
from tests.made_rounds import made

ROUTE = {"agreement_with_draft": 0.42916666666666664}
EVALUATE = {"accuracy": 0.5}


@pytest.fixture
def row():
    return made("inconclusive", "pass")[1]


def summed(row):
    return summary(row.gate, row.labels, ROUTE, EVALUATE, row.baselines)


def test_every_number_comes_from_where_its_name_says(row):
    assert summed(row) == {
        "verdict": "pass",
        "readers": "both",
        "dev": {"accuracy": 0.5},
        "gate": {"accuracy": 0.53, "gain": 0.03, "gain_low": 0.01, "gain_high": 0.05},
        "test": {
            "accuracy": 0.53,
            "gain": 0.03,
            "gain_low": 0.01,
            "gain_high": 0.05,
            "ece": 0.2,
            "since_base": 0.03,
            "since_base_low": 0.01,
            "since_base_high": 0.05,
        },
        "gap": {"simulated_gpt4o": -0.087, "simulated_expert": -0.435},
        "labels": {"round": 40, "expert": 10, "total": 80},
        "expert": {"minutes_total": 15.0},
        "cost": {"total": 30.0},
        "noise": {"rate": 0.125},
        "agreement": {"draft": 0.4292, "verdict_alpha": 0.81},
        "gold": {"rate": 0.9},
    }


def test_what_was_not_measured_is_none(row):
    row.labels["quality"] |= {"agreement": {}, "gold": {}}
    row.labels["ledger"]["total"]["money"] = None
    row.labels["by_route"] = {"model": 40}
    row.baselines.clear()
    found = summed(row)
    assert found["gap"] == {"simulated_gpt4o": None, "simulated_expert": None}
    assert found["agreement"]["verdict_alpha"] is found["gold"]["rate"] is None
    assert found["cost"]["total"] is None
    assert found["labels"]["expert"] == 0


def test_gold_tasks_of_all_readers_are_pooled(row):
    row.labels["quality"]["gold"] = {
        "a": {"tasks": 10, "right": 10},
        "b": {"tasks": 30, "right": 15},
    }
    assert summed(row)["gold"]["rate"] == 0.625


@pytest.mark.parametrize(
    ("people", "kind"),
    [(("dr-a",), "people"), (("expert (simulated)", "adjudicator (simulated)"), "simulated")],
)
def test_readers_are_said_to_be_people_or_not(people, kind):
    assert summed(made("pass", people=people)[0])["readers"] == kind
