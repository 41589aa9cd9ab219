import numpy as np
import pytest

from medq_engine.risk import DRAWS, accepted, correction, odds_times, wrong_draws

KIND = "what"


def still(value: float = 0.0) -> dict[str, np.ndarray]:
    """A log factor that is known."""
    return {KIND: np.full(DRAWS, value)}


def taken(errors, target=0.02, confidence=0.9, shifts=None, kinds=None) -> np.ndarray:
    errors = np.asarray(errors, dtype=float)
    kinds = [KIND] * len(errors) if kinds is None else kinds
    return accepted(errors, kinds, shifts or still(), target, confidence)


def test_odds_are_multiplied():
    assert odds_times(np.array([0.5, 0.2]), np.log(2)) == pytest.approx([2 / 3, 1 / 3])


def test_the_surest_labels_are_accepted():
    errors = np.linspace(0.0, 0.3, 200)[::-1]
    found = taken(errors)
    assert 0 < found.sum() < 200
    assert errors[found].max() <= errors[~found].min()


def unsure(seed: int = 0, sd: float = 0.5) -> dict[str, np.ndarray]:
    """A log factor that is not known well."""
    return {KIND: np.random.default_rng(seed).normal(0, sd, DRAWS)}


def test_the_target_is_kept_as_often_as_promised():
    errors = np.linspace(0.0, 0.3, 400)
    for confidence in (0.6, 0.9, 0.99):
        kept = errors[taken(errors, 0.05, confidence, unsure())]
        rates = odds_times(kept[None], unsure(1)[KIND][:, None]).mean(1)
        assert (rates <= 0.05).mean() == pytest.approx(confidence, abs=0.03)


def test_a_known_rate_is_used_up():
    errors = np.linspace(0.0, 0.3, 400)
    assert errors[taken(errors, 0.05)].mean() == pytest.approx(0.05, abs=0.001)


def test_more_is_accepted_where_more_noise_is_borne_or_less_confidence_asked():
    errors = np.linspace(0.0, 0.3, 300)
    counts = [taken(errors, target).sum() for target in (0.01, 0.02, 0.05, 0.1)]
    assert counts == sorted(set(counts))
    many, few = (taken(errors, 0.05, c, unsure()).sum() for c in (0.6, 0.99))
    assert few < many


def test_sure_labels_do_not_make_up_for_one_that_is_a_guess():
    found = taken([0.0001] * 300 + [0.5] * 3, target=0.05)
    assert found[:300].all()
    assert not found[300:].any()


def test_a_target_of_nothing_accepts_nothing():
    assert not taken([0.0, 1e-6], target=0.0).any()
    assert taken([], target=0.1).tolist() == []


def test_what_is_not_sure_itself_accepts_less():
    errors = np.linspace(0.0, 0.2, 300)
    assert taken(errors, shifts=unsure(sd=1.0)).sum() < taken(errors).sum()


def test_each_question_type_has_its_own_bar():
    errors = np.tile(np.linspace(0.0, 0.2, 150), 2)
    kinds = ["what"] * 150 + ["how"] * 150
    shifts = {"what": np.full(DRAWS, 1.5), "how": np.full(DRAWS, -1.5)}
    found = taken(errors, shifts=shifts, kinds=kinds)
    assert errors[:150][found[:150]].max() < errors[150:][found[150:]].max() / 3


def test_wrong_labels_are_drawn_as_often_as_they_are_believed():
    errors = np.array([0.0, 0.1, 0.5])
    rng = np.random.default_rng(0)
    assert wrong_draws(errors, [KIND] * 3, still(), rng).mean(0) == pytest.approx(errors, abs=0.04)
    shifted = wrong_draws(errors, [KIND] * 3, still(np.log(3)), rng).mean(0)
    assert shifted == pytest.approx([0.0, 0.25, 0.75], abs=0.04)
    assert wrong_draws(np.zeros(0), [], still(), rng).shape == (DRAWS, 0)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_dev_tells_by_how_much_the_errors_are_off(factor):
    rng = np.random.default_rng(0)
    said = rng.uniform(0.02, 0.29, 3000)
    found = correction(said, rng.random(3000) < odds_times(said, np.log(factor)))
    assert found.mean == pytest.approx(np.log(factor), abs=0.2)
    assert 0.3 < found.sd < 0.36  # what is left is how far a batch may be from dev


def test_few_labels_of_dev_tell_little():
    found = correction(np.array([0.1, 0.2]), np.array([False, False]))
    assert abs(found.mean) < 0.2
    assert found.sd > 0.5
    nothing = correction(np.zeros(0), np.zeros(0, dtype=bool))
    assert nothing.mean == pytest.approx(0, abs=1e-9)


def test_labels_that_would_not_be_accepted_do_not_speak_for_those_that_may():
    said = np.full(500, 0.6)
    assert correction(said, np.ones(500, dtype=bool)).mean == pytest.approx(0, abs=1e-9)
