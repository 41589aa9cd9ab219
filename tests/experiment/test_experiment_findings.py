import numpy as np
import pytest

from medq_engine.experiment import findings
from medq_engine.experiment.findings import World
from medq_engine.experiment.results import FINE, UNTAUGHT
from tests.experiment.made_cells import BASE_NAME, GRID, ITEMS, base, cell, made


@pytest.fixture(scope="module")
def rare() -> World:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(findings, "RESAMPLES", 100)
        world = findings.worlds(GRID, made())["rare"]
    return world


def test_worlds_come_in_the_grids_order_and_only_where_something_is_finished():
    assert list(findings.worlds(GRID, made())) == ["rare", "common"]
    assert findings.worlds(GRID, {BASE_NAME: base()}) == {}


def test_rounds_behind_a_gap_do_not_count():
    there = made()
    del there["rare--engine--s1--r1"]
    rare = findings.worlds(GRID, there)["rare"]
    assert rare.seeds("engine", 1) == rare.seeds("engine", 2) == (2, 3)


def test_random_needs_four_times_as_many_labels_as_was_made_up(rare: World):
    found = rare.efficiency("engine", 1, ["random", "random-9"], "labels")
    assert found.value == pytest.approx(4)
    assert found.censored == 0
    assert rare.efficiency("engine", 1, ["random", "random-9"], "minutes").value == pytest.approx(4)
    assert rare.efficiency("engine", 1, ["entropy"], "labels").value == pytest.approx(2.4)


def test_items_of_one_kind_are_compared_on_their_own(rare: World):
    there = made()
    # Who is right on the first half has all fine images right, and no other.
    there[BASE_NAME] |= {"kinds": "0" * (ITEMS // 2) + "2" * (ITEMS // 2)}
    fine, untaught = (findings.worlds(GRID, there, kind)["rare"] for kind in (FINE, UNTAUGHT))
    assert fine.items == untaught.items == rare.items // 2
    assert (fine.base.mean(), rare.base.mean(), untaught.base.mean()) == (1, 0.5, 0)
    assert fine.accuracy("engine", 1).value == 1
    overall = rare.accuracy("engine", 1).value
    assert untaught.accuracy("engine", 1).value == pytest.approx(2 * overall - 1)


def test_without_its_long_runs_random_is_censored(rare: World):
    found = rare.efficiency("engine", 1, ["random"], "labels")
    assert (found.value, found.reach, found.censored) == (np.inf, 2.0, 1.0)


def test_what_is_not_there_is_not_compared(rare: World):
    assert rare.efficiency("engine", 3, ["random"], "labels") is None
    assert rare.efficiency("engine", 1, ["coreset"], "labels") is None
    assert rare.less_engine("engine", "coreset", 1) is None
    assert rare.gap_closed("coreset", 1, None) is None


def test_an_ablation_is_paired_on_the_seeds_that_it_has(rare: World):
    assert rare.less_engine("engine", "no-audit", 1).value == pytest.approx(-0.05)


def test_the_gap_is_closed_by_the_model_in_force(rare: World):
    # Base 50, expert 90, engine 80 after two rounds; entropy's challenger was not let in.
    assert rare.gap_closed("engine", 2, None).value == pytest.approx(0.75)
    assert rare.gap_closed("entropy", 1, None).value == 0
    assert rare.gap_closed("engine", 1, "random-9").value == pytest.approx(1)


def test_a_failed_round_leaves_the_model_of_the_round_before():
    there = made() | dict([cell("rare", "engine", 1, 2, 200, 0.9, verdict="inconclusive")])
    rare = findings.worlds(GRID, there)["rare"]
    assert rare.in_force("engine", 1, 2).mean() == pytest.approx(0.7)
    assert rare.in_force("engine", 1, 1).mean() == pytest.approx(0.7)


def test_costs_and_noise_are_summed_over_rounds_and_seeds(rare: World):
    found = rare.spending("engine", 2)
    assert (found.trained, found.accepted, found.minutes, found.money) == (200, 600, 100, 400)
    assert found.expert_share == pytest.approx(1 / 3)
    assert (found.unreviewed, found.wrong) == (600, 12)
    assert (found.held, found.told) == (6, 6)
    assert found.untaught == 0.25


@pytest.mark.parametrize(
    ("true", "noise", "held"),
    [
        ({"labels": 100, "wrong": 5}, {"rate": 0.04, "low": 0.01, "high": 0.1}, True),
        ({"labels": 100, "wrong": 20}, {"rate": 0.04, "low": 0.01, "high": 0.1}, False),
        ({"labels": 0, "wrong": 0}, {"rate": 0.04, "low": 0.01, "high": 0.1}, None),
        ({"labels": 100, "wrong": 5}, {"rate": None, "low": 0.0, "high": 1.0}, None),
    ],
)
def test_an_estimate_of_noise_holds_the_truth_or_does_not(true: dict, noise: dict, held: object):
    assert findings.estimate_held({"truth": {"unreviewed": true}, "noise": noise}) is held
