from collections.abc import Callable

import numpy as np
import pytest

from medq_engine.stopping import Step, outlook

MINUTES, ERROR, PRICE, LAST = 160.0, 0.8, 0.3, 10


def steps(*gains: float, error: float = ERROR, minutes: float = MINUTES) -> list[Step]:
    return [Step(minutes, gain, error, gain > 1.96 * error) for gain in gains]


def curve_of(rng: np.random.Generator, power: bool) -> Callable[[int], float]:
    """True points after so many rounds; gains fall geometrically, or by a power law."""
    total = rng.uniform(3, 20)
    if power:
        fall = rng.uniform(0.3, 1.2)
        return lambda rounds: total * (1 - (1 + rounds) ** -fall)
    pace = rng.uniform(0.7, 4)
    return lambda rounds: total * (1 - np.exp(-rounds / pace))


def simulated_run(seed: int) -> tuple[int, int, list[bool]]:
    """Round at which it stops, at which it should, and if each challenger was in the interval."""
    rng = np.random.default_rng(seed)
    curve, luck = curve_of(rng, seed % 2 == 1), (0.3, 0.8)[seed // 2 % 2]
    own = ERROR / np.sqrt(2)
    true, measured = [0.0], [rng.normal() * own]
    incumbent, found, stopped, inside = 0, [], LAST, []
    for number in range(1, LAST + 1):
        true.append(curve(number) + luck * rng.normal())
        measured.append(true[-1] + own * rng.normal())
        gain = measured[-1] - measured[incumbent]
        found.append(Step(MINUTES, gain, ERROR, gain > 1.96 * ERROR))
        incumbent = number if found[-1].passed else incumbent
        view = outlook(found, PRICE)
        coming = curve(number + 1) + luck * rng.normal() - true[incumbent]
        inside.append(view.challenger.low <= coming <= view.challenger.high)
        if not view.go_on:
            stopped = number
            break
    worth = [60 * (curve(r + 1) - curve(r)) / MINUTES >= PRICE for r in range(1, LAST)]
    return stopped, worth.index(False) + 1 if False in worth else LAST, inside


def test_it_stops_within_a_round_of_the_right_one_and_its_intervals_hold():
    runs = [simulated_run(seed) for seed in range(32)]
    away = np.array([stopped - right for stopped, right, _ in runs])
    inside = [hit for *_, hits in runs for hit in hits]
    assert (np.abs(away) <= 1).mean() >= 0.75
    assert abs(away.mean()) < 1
    assert 0.8 <= np.mean(inside) <= 0.97


def test_steady_gains_go_on_and_spent_ones_stop():
    rising, spent = outlook(steps(4, 3.5, 3), 0.2), outlook(steps(4, 0.1, -0.2, 0.1), 0.2)
    assert rising.go_on
    assert rising.labels.value > 1.5
    assert rising.better > 0.8
    assert not spent.go_on
    assert spent.labels.value < 0.3
    assert "go on" in rising.verdict
    assert "stop" in spent.verdict


def test_a_gain_that_passed_is_not_taken_at_its_word():
    """Two refused rounds that came out below it say that the winner was lucky."""
    alone, after = outlook(steps(2.0), 0.2), outlook(steps(2.0, -1.5, -1.5), 0.2)
    assert after.challenger.value > -0.75
    assert after.labels.value < alone.labels.value


def test_a_smaller_error_on_gate_narrows_the_interval():
    wide, narrow = (outlook(steps(4, 2, 1, error=error), 0.2).challenger for error in (1.5, 0.2))
    assert narrow.high - narrow.low < wide.high - wide.low


def test_the_price_is_by_the_hour():
    short, long = (outlook(steps(3, 2, minutes=minutes), 0.5) for minutes in (60, 600))
    assert short.labels.value == pytest.approx(long.labels.value)
    assert short.hourly == pytest.approx(10 * long.hourly)
    assert short.hourly == pytest.approx(short.labels.value)
    assert short.go_on
    assert not long.go_on


def test_the_verdict_says_points_interval_minutes_and_price():
    view = outlook(steps(4, 2), 0.25)
    assert view.verdict.startswith(
        f"another round is expected to bring {view.labels} for 160 expert minutes, that is "
    )
    assert "where 0.25 are asked for" in view.verdict
    assert view.labels.low < view.labels.value < view.labels.high


def test_one_round_says_what_it_cannot_know():
    assert "One round tells neither" in outlook(steps(4), 0.2).detail
    assert "One round tells neither" not in outlook(steps(4, 2), 0.2).detail


@pytest.mark.parametrize("rounds", [[], [Step(0, 1, 1, False)]])
def test_without_rounds_or_minutes_there_is_no_outlook(rounds):
    with pytest.raises(ValueError, match="closed rounds"):
        outlook(rounds, 0.2)
