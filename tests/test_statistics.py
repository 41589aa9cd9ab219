import numpy as np
import pytest

from medq_engine.statistics import paired_bootstrap, wilson


def bootstrap(before, after, clusters, resamples=400, confidence=0.95, seed=0):
    rng = np.random.default_rng(seed)
    return paired_bootstrap(
        np.asarray(before), np.asarray(after), clusters, resamples, confidence, rng
    )


def test_the_value_is_the_plain_difference_of_accuracies():
    found = bootstrap([0, 0, 1, 1], [1, 1, 1, 0], ["a", "b", "c", "c"])
    assert (found.incumbent, found.challenger, found.value) == (0.5, 0.75, 0.25)
    assert (found.items, found.clusters) == (4, 3)


def test_bounds_are_in_order():
    rng = np.random.default_rng(3)
    found = bootstrap(
        rng.integers(0, 2, 200), rng.integers(0, 2, 200), [str(i // 4) for i in range(200)]
    )
    assert found.low < found.floor < found.value < found.ceiling < found.high


def test_identical_models_differ_by_zero_with_zero_width():
    scores = np.random.default_rng(0).integers(0, 2, 60)
    found = bootstrap(scores, scores, [str(i // 3) for i in range(60)])
    assert (found.value, found.low, found.high, found.floor, found.ceiling) == (0,) * 5


def test_booleans_are_scores():
    found = bootstrap([True, False], [True, True], ["a", "b"])
    assert found.value == 0.5


def test_items_of_one_scene_count_as_one_observation():
    # The same 400 items: as 400 scenes, and as 20 scenes that stand or fall together.
    gains = np.repeat(np.random.default_rng(1).integers(0, 2, 20), 20)
    zero = np.zeros(400)
    free = bootstrap(zero, gains, [str(i) for i in range(400)])
    tied = bootstrap(zero, gains, [str(i // 20) for i in range(400)])
    assert tied.high - tied.low > 3 * (free.high - free.low)


def test_pairing_makes_the_interval_narrower_than_two_separate_ones():
    rng = np.random.default_rng(2)
    before = rng.integers(0, 2, 300)
    after = np.where(rng.random(300) < 0.05, 1, before)
    clusters = [str(i) for i in range(300)]
    paired = bootstrap(before, after, clusters)
    shuffled = bootstrap(before, rng.permutation(after), clusters)
    assert paired.high - paired.low < 0.5 * (shuffled.high - shuffled.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    # 40 scenes of 5 items whose differences share a scene effect; true difference 0.1.
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(40), 5).astype(str)
    covered = []
    for _ in range(150):
        effect = np.repeat(rng.normal(0.1, 0.3, 40), 5)
        after = effect + rng.normal(0, 0.3, 200)
        found = bootstrap(np.zeros(200), after, clusters, 200, 0.9, seed=len(covered))
        covered.append(found.low <= 0.1 <= found.high)
    # 90 % of 150 has a standard error of 2.4 %; ignoring scenes would cover about 66 %.
    assert 0.81 < np.mean(covered) < 0.98


def test_more_confidence_is_a_wider_interval():
    rng = np.random.default_rng(5)
    after = rng.integers(0, 2, 100)
    clusters = [str(i) for i in range(100)]
    widths = [
        (d := bootstrap(np.zeros(100), after, clusters, confidence=c)).high - d.low
        for c in (0.8, 0.99)
    ]
    assert widths[0] < widths[1]


def test_the_bootstrap_is_seeded():
    rng = np.random.default_rng(6)
    after, clusters = rng.integers(0, 2, 50), [str(i) for i in range(50)]
    first = bootstrap(np.zeros(50), after, clusters, seed=1)
    assert bootstrap(np.zeros(50), after, clusters, seed=1) == first


@pytest.mark.parametrize(("before", "after"), [([0, 1], [1]), ([], [])])
def test_unpaired_or_missing_scores_are_refused(before, after):
    with pytest.raises(ValueError, match="unpaired scores"):
        bootstrap(before, after, ["a"] * len(before))


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        (0, 10, (0.0, 0.27753)),
        (10, 10, (0.72247, 1.0)),
        (5, 10, (0.23659, 0.76341)),
        (1, 20, (0.00888, 0.23613)),
        (0, 0, (0.0, 1.0)),
    ],
)
def test_wilson_known_values(successes, trials, expected):
    assert wilson(successes, trials, 0.95) == pytest.approx(expected, abs=1e-5)
