import numpy as np
import pytest

from medq_engine.experiment.resampling import Sampler, estimate, over_seeds


def sampler(scenes: list[int], resamples: int = 4000) -> Sampler:
    return Sampler("a", scenes, resamples)


def test_the_first_replicate_is_the_test_as_it_is():
    found = sampler([0, 0, 1, 1, 1]).accuracy(np.array([[1, 0, 1, 1, 1], [0, 0, 0, 0, 1]]))
    assert found.shape == (2, 4001)
    assert found[:, 0].tolist() == [0.8, 0.2]


def test_items_of_a_scene_are_drawn_together():
    right = np.random.default_rng(1).integers(0, 2, 50).repeat(8)[None]
    together = sampler(np.arange(50).repeat(8).tolist()).accuracy(right)
    apart = sampler(list(range(400))).accuracy(right)
    # Eight copies of an item are one observation: the spread must be that of 50, not of 400.
    assert together[0].std() == pytest.approx(right.std() / np.sqrt(50), rel=0.1)
    assert apart[0].std() == pytest.approx(right.std() / np.sqrt(400), rel=0.1)


def test_all_runs_meet_the_same_draws():
    right = np.random.default_rng(2).integers(0, 2, (1, 60)).repeat(2, 0)
    found = sampler([i // 3 for i in range(60)]).accuracy(right)
    assert (found[0] == found[1]).all()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_seeds_vary_a_mean_as_much_as_its_variance_says(count: int):
    values = np.random.default_rng(3).normal(size=count)
    weights = sampler([0]).seeds("random", range(count))
    assert weights[:, 0].tolist() == [1 / count] * count
    assert weights.sum(0) == pytest.approx(np.ones(4001))
    means = values @ weights[:, 1:]
    assert means.std() == pytest.approx(values.std(ddof=1) / np.sqrt(count), rel=0.08)


def test_one_seed_does_not_vary():
    assert (sampler([0]).seeds("random", [3]) == 1).all()


def test_a_strategys_seeds_are_drawn_alike_whatever_is_compared_before():
    one, other = sampler([0]), sampler([0, 1])
    first = one.seeds("random", [1, 2, 3])
    other.seeds("engine", [1, 2, 3])
    assert (other.seeds("random", [1, 2, 3]) == first).all()
    assert (other.seeds("engine", [1, 2, 3]) != first).any()


def test_an_interval_holds_the_middle_95_percent():
    found = estimate(np.array([50.0, *range(1, 1001)]))
    assert (found.value, found.low, found.high, found.censored) == (50, 25, 976, 0)


def test_infinite_replicates_are_counted_and_bound_the_interval():
    values = np.array([3.0, *[2.0] * 50, *[3.0] * 900, *[np.inf] * 50])
    found = estimate(values, reach=8.0)
    assert (found.low, found.high) == (2.0, np.inf)
    assert found.censored == 0.05
    assert found.reach == 8.0


def test_seeds_alone_give_students_interval():
    found = over_seeds([0.5, 0.6, 0.7])
    assert found.value == pytest.approx(0.6)
    # t of 2 degrees of freedom at 97.5 %: 4.303
    assert found.high - found.value == pytest.approx(4.303 * 0.1 / np.sqrt(3), rel=1e-3)


def test_one_seed_has_no_interval():
    found = over_seeds([0.5])
    assert found.value == 0.5
    assert np.isnan([found.low, found.high]).all()
