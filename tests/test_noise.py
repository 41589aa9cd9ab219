import numpy as np
import pytest

from medq_engine.noise import COMMON_SD, Audit, Tally, differing, interval, shifts_given, tally_of
from medq_engine.risk import DRAWS, odds_times, wrong_draws

SPREAD = {"what": 0.8}


def audits(count: int, differ: int, error: float = 0.02, kind: str = "what") -> list[Audit]:
    return [Audit(kind, error, 20, differs=n < differ) for n in range(count)]


def factor(found, right=50, tasks=50, before=None, spread=SPREAD, kind="what") -> float:
    """Mean log factor after audits and gold tasks."""
    rng = np.random.default_rng(0)
    shifts = shifts_given(spread, found, right, tasks, before or Tally(), rng)
    assert all(values.shape == (DRAWS,) for values in shifts.values())
    return float(shifts[kind].mean())


def test_readers_differ_from_wrong_labels_and_by_their_own_errors():
    found = differing(np.array([0.0, 1.0, 0.5]), np.array(0.9), 2)
    assert found == pytest.approx([0.1, 0.9, 0.5])
    many = differing(np.array([1.0]), np.array(0.9), 11)
    assert many == pytest.approx([1 - 0.1 / 10])


def test_without_checks_nothing_is_learnt():
    rng = np.random.default_rng(0)
    shifts = shifts_given(SPREAD, [], 0, 0, Tally(), rng)["what"]
    assert shifts.mean() == pytest.approx(0, abs=0.05)
    assert shifts.std() == pytest.approx(np.hypot(0.8, COMMON_SD), abs=0.05)


def test_audits_that_differ_raise_the_error_and_others_lower_it():
    assert factor(audits(30, 0)) < factor([]) < factor(audits(30, 4)) < factor(audits(30, 10))


def test_readers_who_err_are_believed_less():
    """Four of thirty audits differ: labels are wrong if readers are right, else the readers are."""
    good, poor = factor(audits(30, 4), 60, 60), factor(audits(30, 4), 51, 60)
    assert poor < good - 0.2


def test_what_earlier_rounds_found_counts_as_what_this_one_does():
    sums = tally_of(audits(30, 6), 55, 60)
    assert sums["audits"]["what"] == pytest.approx({"audited": 30, "differ": 6, "expected": 0.6})
    assert sums["gold"] == {"tasks": 60, "right": 55}
    before = Tally(**sums)
    now = factor(audits(30, 6), 55, 60)
    assert factor([], 0, 0, before) == pytest.approx(now, abs=0.1)
    assert factor(audits(30, 6), 55, 60, before) > now


def test_question_types_are_judged_apart():
    spread = {"what": 0.8, "how": 0.8}
    found = audits(30, 8, 0.03, "what") + audits(30, 0, 0.03, "how")
    assert factor(found, spread=spread, kind="what") > 0.5
    assert factor(found, spread=spread, kind="how") < 0.2


def test_what_one_question_type_shows_is_expected_of_the_others_in_part():
    spread = {"what": 0.4, "how": 0.4}
    found = audits(30, 8, 0.03, "what")
    told, guessed = (factor(found, spread=spread, kind=kind) for kind in spread)
    assert 0.1 < guessed < told


def test_an_interval_is_of_the_labels_at_hand():
    rng = np.random.default_rng(0)
    wrong = rng.random((DRAWS, 50)) < 0.02
    estimate, low, high = interval(wrong, 0.9)
    assert estimate == pytest.approx(0.02, abs=0.002)
    assert (low, high) == (0.0, 0.06)
    many = interval(rng.random((DRAWS, 2000)) < 0.02, 0.9)
    assert many[1] > 0.01
    assert many[2] < 0.03


@pytest.mark.parametrize("accuracy", [0.85, 0.95])
def test_the_interval_covers_the_noise_as_often_as_promised(accuracy):
    """A world as the model has it: labels off by an unknown factor, readers who err."""
    covered = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        errors = rng.uniform(0.005, 0.1, 220)
        off = rng.normal(0, SPREAD["what"]) + rng.normal(0, COMMON_SD)
        wrong = rng.random(220) < odds_times(errors, off)
        read = rng.random(20) < accuracy
        slip = rng.random(20) < 1 / 19  # a wrong reading that says what a wrong label says
        differs = np.where(wrong[:20], read | ~slip, ~read)
        checks = [Audit("what", e, 20, bool(d)) for e, d in zip(errors, differs, strict=False)]
        gold = int(rng.binomial(12, accuracy))
        shifts = shifts_given(SPREAD, checks, gold, 12, Tally(), rng)
        drawn = wrong_draws(errors[20:], ["what"] * 200, shifts, rng)
        _, low, high = interval(drawn, 0.9)
        covered.append(low <= wrong[20:].mean() <= high)
    assert 84 <= sum(covered) <= 99
