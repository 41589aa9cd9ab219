import numpy as np
import pytest

from medq_engine.colour_statistics import bins, colour_statistics, opponent_channels


def of(colour: np.ndarray) -> np.ndarray:
    return colour_statistics(colour, opponent_channels(colour))


def test_grey_has_no_colour_in_its_opponent_channels():
    grey = np.repeat(np.random.default_rng(0).uniform(size=(8, 8, 1)), 3, 2)
    intensity, red_green, yellow_blue = opponent_channels(grey)
    assert intensity == pytest.approx(grey[..., 0])
    assert red_green == pytest.approx(np.zeros((8, 8)))
    assert yellow_blue == pytest.approx(np.zeros((8, 8)))


def test_opponent_channels_have_the_signs_of_their_names():
    red, green, blue = opponent_channels(np.eye(3)[None])[1:, 0].T
    assert red[0] > 0 > green[0]
    assert blue[1] < 0 < min(red[1], green[1])


def test_values_outside_are_counted_at_the_border():
    assert bins(np.array([-1, 0, 0.49, 0.5, 1, 7]), 4).tolist() == [0, 0, 1, 2, 3, 3]


def test_light_and_colour_are_shares_of_the_image():
    found = of(np.random.default_rng(1).uniform(size=(96, 96, 3)).astype(np.float32))
    assert found.shape == (136,)
    assert (found[-16:] ** 2).sum() == pytest.approx(1)
    assert (found[-80:-16] ** 2).sum() == pytest.approx(1)


def test_a_small_spot_of_a_foreign_colour_is_seen():
    pink = np.full((96, 96, 3), [0.9, 0.6, 0.8], np.float32)
    inked = pink.copy()
    inked[:10, :10] = [0.1, 0.2, 0.9]
    clean, found = of(pink), of(inked)
    # About one pixel in a hundred: the root makes a tenth of it.
    assert np.abs(found - clean)[-80:-16].max() == pytest.approx(10 / 96, abs=0.01)
    assert found[10] > clean[10] + 0.4  # the most saturated pixel


def test_a_black_image_has_finite_statistics():
    assert np.isfinite(of(np.zeros((96, 96, 3), np.float32))).all()
