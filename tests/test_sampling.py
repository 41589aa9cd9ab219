import numpy as np
import pytest

from medq_engine.sampling import choose, entropy, k_center, most_uncertain, typical

NONE = np.array([], dtype=int)


@pytest.fixture
def blobs():
    """Three groups of 20, 10 and 5 points far apart; the first point of each is its middle."""
    rng = np.random.default_rng(0)
    groups = []
    for centre, count in (((0, 0), 20), ((10, 0), 10), ((0, 10), 5)):
        spread = rng.normal(scale=0.5, size=(count - 1, 2))
        groups.append(np.vstack([[0, 0], spread - spread.mean(0)]) + centre)
    return np.vstack(groups)


def test_an_even_answer_has_the_entropy_one_whatever_the_number_of_options():
    assert entropy([np.full(2, 0.5), np.full(12, 1 / 12)]) == pytest.approx([1, 1])
    assert entropy([np.array([1.0, 0.0])]) == pytest.approx([0])


def test_the_most_uncertain_answers_come_first_by_their_pool_position():
    answers = [np.array([0.9, 0.1]), np.array([0.5, 0.5]), np.array([0.6, 0.4])]
    assert most_uncertain(answers, np.array([7, 3, 5]), 2) == [3, 5]


def test_k_center_visits_every_group_before_a_second_of_any(blobs):
    taken = k_center(blobs, np.arange(35), NONE, 3)
    assert {int(np.searchsorted([20, 30], i, side="right")) for i in taken} == {0, 1, 2}


def test_k_center_keeps_away_from_what_is_labelled(blobs):
    taken = k_center(blobs, np.arange(1, 35), np.array([0]), 2)
    assert all(i >= 20 for i in taken)
    assert (taken[0] < 30) != (taken[1] < 30)


def test_typiclust_takes_the_densest_image_of_each_cluster(blobs):
    taken = typical(blobs, np.arange(35), NONE, 3, seed=0)
    middles = np.array([[0, 0], [10, 0], [0, 10]])
    assert np.abs(blobs[taken] - middles).max() < 0.5
    # The largest cluster is covered first.
    assert taken[0] < 20


def test_typiclust_covers_clusters_without_a_label_first(blobs):
    taken = typical(blobs, np.arange(1, 35), np.array([0]), 2, seed=0)
    assert sorted(i >= 30 for i in taken) == [False, True]
    assert all(i >= 20 for i in taken)


@pytest.mark.parametrize("choose", [k_center, lambda *a: typical(*a, seed=0)])
def test_no_more_than_there_is_and_nothing_twice(choose, blobs):
    taken = choose(blobs, np.arange(30, 35), NONE, 50)
    assert sorted(taken) == [30, 31, 32, 33, 34]
    assert choose(blobs, NONE, NONE, 3) == []


def test_a_strategy_is_chosen_by_its_name(blobs):
    asked = []

    def answers(rows):
        asked.append(rows)
        return [np.array([0.5, 0.5]) if i == 31 else np.array([1.0, 0.0]) for i in rows]

    def taken(strategy):
        rng = np.random.default_rng(0)
        return choose(strategy, blobs, np.arange(1, 35), np.array([0]), 2, answers, rng)

    assert taken("entropy") == [31, 1]
    assert len(asked) == 1
    assert taken("coreset") == k_center(blobs, np.arange(1, 35), np.array([0]), 2)
    drawn = int(np.random.default_rng(0).integers(2**31))
    assert taken("typiclust") == typical(blobs, np.arange(1, 35), np.array([0]), 2, drawn)
    assert taken("random") == taken("random") != taken("coreset")
    assert len(asked) == 1
