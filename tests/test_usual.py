import numpy as np

from medq_engine.usual import draw

DISTANCES = np.arange(60, dtype=float) % 30  # in each source the first third is the most usual
SOURCES = ["a"] * 30 + ["b"] * 30
NONE = np.zeros(60, bool)


def drawn(fetched, count, barred=NONE, seed=0, sources=SOURCES) -> list[int]:
    return draw(DISTANCES, sources, fetched, barred, count, np.random.default_rng(seed))


def test_every_source_gives_its_part_of_what_was_fetched():
    found = drawn([20, 21, 22, 50], 8)
    assert len(found) == 8
    assert sum(image >= 30 for image in found) == 2


def test_only_the_most_usual_third_of_a_source_is_drawn():
    assert {image % 30 for image in drawn([20, 50], 20)} == set(range(10))


def test_what_is_barred_or_fetched_is_not_drawn():
    barred = np.isin(np.arange(60), [0, 1, 2])
    assert drawn([3, 4, 25], 10, barred) == [5, 6, 7, 8, 9]


def test_sources_of_two_modalities_with_one_name_are_two():
    sources = [("mri", "site")] * 30 + [("ct", "site")] * 30
    assert all(image < 30 for image in drawn([20], 10, sources=sources))


def test_nothing_fetched_nothing_drawn():
    assert drawn([], 10) == []


def test_the_draw_is_seeded():
    assert drawn([20], 5, seed=1) == drawn([20], 5, seed=1) != drawn([20], 5, seed=2)
