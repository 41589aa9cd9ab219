import numpy as np
import pytest

from medq_engine.experiment import curves
from medq_engine.experiment.curves import Curve, Point
from medq_engine.experiment.resampling import Sampler

ITEMS = 400


def right(share: float) -> np.ndarray:
    """Answers of which a share is right, the same items first."""
    return np.arange(ITEMS) < round(share * ITEMS)


def point(
    labels: float, shares: list[float], strategy: str = "random", number: int = 1, first: int = 1
) -> Point:
    return Point(
        strategy=strategy,
        round=number,
        seeds=tuple(range(first, first + len(shares))),
        spent={"labels": np.full(len(shares), labels)},
        correct=np.stack([right(share) for share in shares]),
        in_force=np.stack([right(share) for share in shares]),
    )


@pytest.fixture
def sampler() -> Sampler:
    """Every item a scene of its own."""
    return Sampler("a", range(ITEMS), 300)


def needs(spent: list[float], accuracy: list[float], target: float, chains=None) -> float:
    chains = np.ones(len(spent)) if chains is None else np.array(chains)
    return curves.needed(np.array(spent), np.array(accuracy), chains, target)


def test_a_measured_budget_is_given_back():
    for labels, accuracy in ((100, 0.6), (400, 0.7)):
        assert needs([0, 100, 400], [0.5, 0.6, 0.7], accuracy) == pytest.approx(labels)


def test_between_budgets_the_square_root_is_straight():
    # Half way from 10 to 20 in the root is 15: 225 labels.
    assert needs([0, 100, 400], [0.5, 0.6, 0.7], 0.65) == pytest.approx(225)


def test_what_the_base_can_costs_nothing_and_what_nobody_can_is_infinite():
    assert needs([0, 100], [0.5, 0.6], 0.5) == 0
    assert needs([0, 100], [0.5, 0.6], 0.6001) == np.inf


def test_labels_that_harm_do_not_make_the_base_look_worse():
    # Levelled with what 100 labels left, the base would have 0.45 and never reach 0.48.
    assert needs([0, 100], [0.5, 0.4], 0.48) == 0
    assert needs([0, 100], [0.5, 0.4], 0.52) == np.inf


def test_a_curve_that_falls_is_levelled_by_weight():
    # 0.7 of three chains and 0.6 of one pool to 0.675 from 100 labels on.
    assert needs([0, 100, 400], [0.5, 0.7, 0.6], 0.6749, [1, 3, 1]) == pytest.approx(100, rel=0.01)
    assert needs([0, 100, 400], [0.5, 0.7, 0.6], 0.68, [1, 3, 1]) == np.inf


def test_the_order_of_budgets_does_not_matter():
    forwards = needs([0, 100, 400], [0.5, 0.6, 0.7], 0.65)
    assert needs([400, 0, 100], [0.7, 0.5, 0.6], 0.65) == forwards


def test_a_curve_starts_at_the_base_and_means_over_seeds(sampler: Sampler):
    found = curves.curve([point(100, [0.6, 0.7])], right(0.5), "labels", sampler)
    assert found.spent[:, 0].tolist() == [0, 100]
    assert found.accuracy[:, 0] == pytest.approx([0.5, 0.65])
    assert found.chains.tolist() == [2, 2]


def test_rounds_of_a_strategy_draw_the_same_seeds(sampler: Sampler):
    rounds = [point(100, [0.5, 0.9], number=1), point(200, [0.5, 0.9], number=2)]
    found = curves.curve(rounds, right(0.5), "labels", sampler)
    assert (found.accuracy[1] == found.accuracy[2]).all()


def engine(sampler: Sampler, labels: float, share: float) -> tuple[np.ndarray, np.ndarray]:
    return np.full(301, labels), sampler.accuracy(right(share)[None])[0]


def test_efficiency_is_known_where_random_needs_four_times_as_many(sampler: Sampler):
    budgets = [point(100, [0.6] * 3), point(400, [0.7] * 3), point(900, [0.8] * 3)]
    random = curves.curve(budgets, right(0.5), "labels", sampler)
    found = curves.efficiency(random, *engine(sampler, 100, 0.7))
    assert found.value == pytest.approx(4)
    # The same items are right in both: what the draw of scenes does to one it does to the other.
    assert found.low == pytest.approx(4)
    assert found.high == pytest.approx(4)
    assert found.censored == 0
    assert found.reach == 9


def test_seeds_that_differ_widen_the_interval(sampler: Sampler):
    budgets = [point(100, [0.55, 0.6, 0.65]), point(400, [0.65, 0.7, 0.75])]
    random = curves.curve(budgets, right(0.5), "labels", sampler)
    found = curves.efficiency(random, *engine(sampler, 100, 0.65))
    assert found.low < found.value < found.high


def test_random_that_never_gets_there_is_censored_at_its_longest_run(sampler: Sampler):
    random = curves.curve([point(800, [0.6, 0.62])], right(0.5), "labels", sampler)
    found = curves.efficiency(random, *engine(sampler, 100, 0.7))
    assert (found.value, found.low, found.censored, found.reach) == (np.inf, np.inf, 1.0, 8.0)


def test_random_that_gets_there_in_some_draws_is_censored_in_the_others(sampler: Sampler):
    random = curves.curve([point(800, [0.6, 0.7, 0.75])], right(0.5), "labels", sampler)
    found = curves.efficiency(random, *engine(sampler, 100, 0.68))
    assert 0 < found.censored < 1
    assert found.low < np.inf
    assert found.high == np.inf


def test_a_difference_is_paired_by_seed(sampler: Sampler):
    one = point(100, [0.5, 0.6, 0.7], "engine")
    other = point(100, [0.55, 0.65, 0.75], "other")
    found = curves.difference(one, other, sampler)
    assert found.value == pytest.approx(0.05)
    # Every seed gains the same: what is left is the draw of the 20 items that differ.
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.05 * 0.95 / 400), rel=0.2)


def test_seeds_that_only_one_has_are_left_out(sampler: Sampler):
    found = curves.difference(
        point(100, [0.5, 0.9], "engine", first=1), point(100, [0.6, 0.1], "other", first=2), sampler
    )
    assert found.value == pytest.approx(0.6 - 0.9)


def test_strategies_without_a_common_seed_are_not_compared(sampler: Sampler):
    with pytest.raises(ValueError, match="no seed in common"):
        curves.difference(point(1, [0.5], "a", first=1), point(1, [0.5], "b", first=2), sampler)


def test_the_share_of_a_gap_to_an_accuracy_and_to_runs(sampler: Sampler):
    reached = point(216, [0.65, 0.75], "engine")
    assert curves.closed(right(0.5), reached, 0.9, sampler).value == pytest.approx(0.5)
    top = point(2160, [0.8, 0.8])
    assert curves.closed(right(0.5), reached, top, sampler).value == pytest.approx(2 / 3)


def test_a_curve_of_several_replicates_is_read_column_by_column():
    random = Curve(
        np.array([[0.0, 0.0], [100.0, 400.0]]), np.array([[0.5, 0.5], [0.6, 0.6]]), np.ones(2)
    )
    found = curves.efficiency(random, np.array([10.0, 10.0]), np.array([0.6, 0.6]))
    assert (found.value, found.low) == (10, 40)
