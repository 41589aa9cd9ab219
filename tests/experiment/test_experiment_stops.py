import pytest

from medq_engine.experiment import findings, stops
from medq_engine.experiment.findings import World
from medq_engine.experiment.results import Result
from tests.experiment.made_cells import BASE_NAME, GRID, TERMS, base, cell, gained


def world_of(*cells: tuple[str, Result]) -> World:
    return findings.worlds(GRID, {BASE_NAME: base(), **dict(cells)})["rare"]


def chain(seed: int, *accuracies: float, verdict: str = "pass") -> list[tuple[str, Result]]:
    """Rounds of 100 labels, 50 minutes each; the gate sees what test shows."""
    before, found = 0.5, []
    for number, accuracy in enumerate(accuracies, 1):
        gate = {"verdict": verdict} | gained(accuracy - before)
        found.append(cell("rare", "engine", seed, number, 100 * number, accuracy, gate=gate))
        before = accuracy if verdict == "pass" else before
    return found


def test_what_a_round_brought_is_measured_on_test():
    world = world_of(*chain(1, 0.6, 0.65))
    (found,) = stops.forecasts(world, "engine", 1, TERMS)
    assert found.rise == pytest.approx(5)
    assert found.gain == pytest.approx(5)
    assert found.minutes == 50


def test_a_refused_challenger_is_not_in_force():
    world = world_of(*chain(1, 0.6, 0.65, verdict="inconclusive"))
    (found,) = stops.forecasts(world, "engine", 1, TERMS)
    assert found.rise == pytest.approx(5)
    assert found.gain == pytest.approx(15)


def test_a_forecast_sees_only_rounds_that_are_over():
    short, long = chain(1, 0.6, 0.65), chain(1, 0.6, 0.95)
    first, second = (
        stops.forecasts(world_of(*one), "engine", 1, TERMS)[0].expected for one in (short, long)
    )
    assert first == second


def test_a_curve_that_is_flat_says_stop_and_a_steep_one_says_go_on():
    flat = world_of(*chain(1, 0.53, 0.53, 0.53, 0.53, 0.53, 0.53))
    steep = world_of(*chain(1, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8))
    terms = stops.Terms(least_gain=1.0, confidence=0.95)
    assert not stops.forecasts(flat, "engine", 5, terms)[0].expected.go_on
    assert stops.forecasts(steep, "engine", 5, terms)[0].expected.go_on


def test_the_section_has_a_line_for_every_round_that_had_a_next_one():
    world = world_of(*chain(1, 0.6, 0.65, 0.68), *chain(2, 0.6, 0.67))
    section = stops.section(world, "engine", TERMS)
    lines = [line for line in section.splitlines() if line.startswith(("| 1 |", "| 2 |"))]
    assert len(lines) == 2
    assert lines[0].startswith("| 1 | 2 |")
    assert "+6.0 (" in lines[0]
    assert lines[1].startswith("| 2 | 1 |")
    assert "(simulated)" in section


def test_one_round_has_no_section():
    assert stops.section(world_of(*chain(1, 0.6)), "engine", TERMS) == ""
