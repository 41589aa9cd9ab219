import numpy as np
import pytest
from scipy import stats

from medq_engine.local_statistics import block_statistics, blocks, kurtosis, levels


def test_levels_are_values_of_the_row():
    rows = np.array([[3, 1, 2, 5, 4], [9, 9, 9, 9, 0]])
    assert levels(rows, [0, 0.25, 0.5, 1]).tolist() == [[1, 2, 3, 5], [0, 9, 9, 9]]


def test_kurtosis_is_that_of_the_textbook_and_zero_where_nothing_varies():
    rows = np.random.default_rng(0).exponential(size=(3, 500))
    rows[2] = 0.4
    expected = stats.kurtosis(rows[:2], axis=1, fisher=False)
    assert kurtosis(rows)[:2] == pytest.approx(expected)
    assert kurtosis(rows)[2] == 0


def test_blocks_are_squares_of_neighbours():
    maps = np.arange(2 * 32 * 16).reshape(2, 32, 16)
    cut = blocks(maps, 8)
    assert cut.shape == (2, 8, 64)
    assert cut[1, 3].tolist() == maps[1, 8:16, 8:16].ravel().tolist()


@pytest.fixture
def textured() -> np.ndarray:
    """Opponent channels of an image that repeats every 16 px, so that all its blocks are alike."""
    tile = np.random.default_rng(1).uniform(0.4, 0.6, (3, 16, 16)) - [[[0]], [[0.5]], [[0.5]]]
    return np.tile(tile, (1, 6, 6)).astype(np.float32)


def spotted(textured: np.ndarray, row: int, column: int) -> np.ndarray:
    opponent = textured.copy()
    opponent[1, row : row + 4, column : column + 4] += 0.4
    return block_statistics(opponent, opponent[0])


def test_it_does_not_matter_in_which_block_a_spot_is(textured):
    assert spotted(textured, 33, 18) == pytest.approx(spotted(textured, 49, 66), rel=1e-4, abs=1e-5)


def test_a_spot_in_one_block_shows_in_the_highest_level_and_not_in_the_median(textured):
    clean = block_statistics(textured, textured[0])
    found = spotted(textured, 33, 18)
    # Maps of blocks of 8 px come first, nine levels each; the eighth map is red-green.
    here = 7 * 9
    assert found[here + 8] > clean[here + 8] + 0.05
    assert found[here + 4] == pytest.approx(clean[here + 4])
    assert found.shape == (294,)


def test_a_flat_image_has_finite_statistics():
    flat = np.zeros((3, 96, 96), np.float32)
    assert np.isfinite(block_statistics(flat, flat[0])).all()
