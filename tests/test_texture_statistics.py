import numpy as np
import pytest
from scipy import ndimage

from medq_engine.texture_statistics import (
    asymmetric_gaussian,
    block_cosines,
    halved,
    local_patterns,
    natural_scene,
    normalised,
)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0.5, 0.1, (96, 96)).astype(np.float32)


def test_the_fit_finds_the_shape_and_spread_that_were_drawn():
    rng = np.random.default_rng(1)
    rows = np.stack([rng.normal(0, 2, 40_000), rng.laplace(0, 1, 40_000)])
    shape, left, right, mean = asymmetric_gaussian(rows).T
    assert shape == pytest.approx([2, 1], rel=0.05)
    assert left == pytest.approx(right, rel=0.05)
    assert left == pytest.approx([2, np.sqrt(2)], rel=0.05)
    assert mean == pytest.approx([0, 0], abs=0.05)


def test_the_fit_of_lopsided_samples_is_wider_on_the_longer_side():
    samples = np.random.default_rng(2).normal(size=20_000)
    lopsided = np.where(samples > 0, 3 * samples, samples)[None]
    _, left, right, mean = asymmetric_gaussian(lopsided)[0]
    assert right == pytest.approx(3 * left, rel=0.1)
    assert mean > 0.5


def test_samples_that_never_vary_have_a_finite_fit():
    assert np.isfinite(asymmetric_gaussian(np.zeros((2, 50)))).all()


def test_contrast_is_taken_out_of_normalised_coefficients(noise):
    strong, _ = normalised(noise)
    weak, contrast = normalised((noise - 0.5) * 0.5 + 0.5)
    assert weak.std() == pytest.approx(strong.std(), rel=0.1)
    assert contrast.mean() == pytest.approx(normalised(noise)[1].mean() / 2, rel=0.01)


def test_blur_makes_neighbours_alike_at_the_finest_scale(noise):
    sharp = natural_scene(noise)
    blurred = natural_scene(ndimage.gaussian_filter(noise, 1.5))
    assert sharp.shape == (102,)
    neighbours = slice(28, 30)  # mean product of neighbours, after seven fits of four numbers
    assert (blurred[neighbours] > sharp[neighbours] + 0.15).all()


def test_halving_takes_means_of_two_by_two():
    assert halved(np.float32([[1, 3, 0, 0], [5, 7, 0, 8]])).tolist() == [[4, 2]]


def test_a_flat_image_has_one_pattern_and_noise_many():
    flat = np.full((96, 96), 0.3, np.float32)
    noise = np.random.default_rng(3).uniform(size=(96, 96)).astype(np.float32)
    assert (local_patterns(flat, flat) ** 2).tolist() == [1] + [0] * 9 + [1] + [0] * 9
    found = local_patterns(noise, noise) ** 2
    assert found[:10].sum() == pytest.approx(1)
    assert (found > 0.01).all()


def test_a_grating_has_its_own_cosine():
    grating = 0.5 + 0.3 * np.cos(np.pi * (2 * np.arange(96) + 1) * 3 / 16)
    found = block_cosines(np.tile(grating, (96, 1)).astype(np.float32))
    assert found.shape == (126,)
    assert np.argmax(found[:63]) == 3 - 1  # third cosine across, none down; the first is left out
