"""A handful of degradations against the law that makes them what they are."""

import numpy as np
import pytest
from scipy import ndimage

from medq_engine.degradations import DEGRADATIONS
from medq_engine.degradations._sinogram import add_error, project

SIZE = 96


def degrade(name, image, seed, strength=0.5):
    return DEGRADATIONS[name].simulate(image, strength, np.random.default_rng(seed))


def change_along(axis, image, degraded):
    """Mean absolute change of the lines of air that lie well away from the object along `axis`."""
    air = ndimage.minimum_filter1d(np.float32(image.max(axis=1 - axis) < 1e-4), 9) > 0
    return np.abs(degraded - image).mean(axis=1 - axis)[air].mean()


@pytest.fixture
def square():
    """A small bright square in air: whatever repeats it is seen beside it."""
    image = np.zeros((SIZE, SIZE), dtype=np.float32)
    image[40:56, 40:56] = 0.5
    return ndimage.gaussian_filter(image, 1.5)  # so that shifts by part of a pixel do not ring


@pytest.mark.parametrize("seed", range(4))
def test_ghosts_lie_along_one_axis(square, seed):
    ghosted = degrade("motion-ghosting", square, seed)
    beside, above = (change_along(axis, square, ghosted) for axis in (1, 0))
    assert max(beside, above) > 10 * min(beside, above)


@pytest.mark.parametrize("seed", range(4))
def test_fold_over_repeats_at_a_fraction_of_the_field_of_view(square, seed):
    folded = degrade("aliasing", square, seed, strength=1.0)
    # With all the other lines lost the picture has an exact period of a half or a third.
    periods = [(axis, SIZE // r) for axis in (0, 1) for r in (2, 3)]
    errors = [np.abs(folded - np.roll(folded, period, axis)).max() for axis, period in periods]
    assert min(errors) < 1e-5


def test_bias_field_is_a_smooth_gain():
    dark, bright = (np.full((SIZE, SIZE), value, dtype=np.float32) for value in (0.02, 0.08))
    gain_dark, gain_bright = (degrade("bias-field", i, 3) / i for i in (dark, bright))
    np.testing.assert_allclose(gain_dark, gain_bright, rtol=1e-4)
    # Smooth: low-pass filtering leaves the gain as it is, but for the border.
    smooth = ndimage.gaussian_filter(gain_dark, 2)[8:-8, 8:-8]
    np.testing.assert_allclose(smooth, gain_dark[8:-8, 8:-8], rtol=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_spike_is_a_few_points_of_kspace(seed):
    # On a bright ground the magnitude is nearly linear, so that the points stay points.
    image = np.full((SIZE, SIZE), 0.7, dtype=np.float32)
    change = degrade("spike-noise", image, seed, strength=0.05) - image
    energy = np.sort((np.abs(np.fft.fft2(change)) ** 2).ravel())[::-1]
    # At most three spikes, each with its mirror image.
    assert energy[:6].sum() > 0.95 * energy.sum()


def test_rician_noise_lifts_the_background_to_its_rayleigh_mean():
    air = np.zeros((256, 256), dtype=np.float32)
    noisy = degrade("rician-noise", air, 0)
    # Rayleigh: standard deviation over mean is sqrt(4 / pi - 1).
    assert noisy.std() / noisy.mean() == pytest.approx(np.sqrt(4 / np.pi - 1), rel=0.1)


def test_reconstruction_inverts_projection(picture):
    # The CT simulations add reconstructed errors, so the reconstruction must be to scale.
    image = ndimage.gaussian_filter(picture(SIZE, False), 2)
    empty = np.zeros((SIZE, SIZE, 1), dtype=np.float32)
    reconstruction = add_error(empty, project(image))[..., 0]
    centre = slice(24, 72)
    assert np.abs(reconstruction - image)[centre, centre].mean() < 0.03


def test_rings_are_constant_over_the_angle():
    image = np.full((SIZE, SIZE), 0.5, dtype=np.float32)
    rings = degrade("ring-artifact", image, 0) - image
    # A turn by a right angle about the centre maps the pixels onto pixels.
    turned = np.rot90(rings)
    assert np.corrcoef(rings.ravel(), turned.ravel())[0, 1] > 0.95


def test_low_dose_noise_is_strongest_behind_dense_tissue():
    thin, thick = (np.zeros((SIZE, SIZE), dtype=np.float32) for _ in range(2))
    thin[24:72, 24:72], thick[24:72, 24:72] = 0.3, 0.7
    inner = slice(32, 64)
    noise = [np.std((degrade("low-dose-noise", i, 0) - i)[inner, inner]) for i in (thin, thick)]
    assert noise[1] > 1.3 * noise[0]


def test_metal_is_white_and_its_streaks_reach_the_border(picture):
    image = picture(SIZE, False)
    streaked = degrade("metal-streak", image, 0)
    assert streaked.max() == pytest.approx(1.0, abs=0.02)
    assert np.abs(streaked - image)[[0, -1]].max() > 0.01


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["pen-ink", "tissue-fold"])
def test_absorbers_only_take_light_away(picture, name, seed):
    image = picture(SIZE, True)
    assert (degrade(name, image, seed) <= image + 1e-6).all()


@pytest.mark.parametrize("name", ["uneven-staining", "tissue-fold"])
def test_clear_glass_takes_no_stain_and_has_no_folds(name):
    glass = np.ones((SIZE, SIZE, 3), dtype=np.float32)
    np.testing.assert_allclose(degrade(name, glass, 0), glass, atol=1e-6)


@pytest.mark.parametrize("name", ["defocus", "motion-blur", "blur"])
def test_blur_keeps_the_light(square, name):
    assert degrade(name, square, 0).sum() == pytest.approx(square.sum(), rel=1e-3)


def test_lens_flare_stays_inside_the_field_stop():
    rows, columns = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    inside = np.hypot(rows, columns) < 0.8
    flared = degrade("lens-flare", np.float32(0.4 * inside), 0, strength=1.0)
    outside = np.hypot(rows, columns) > 0.87
    assert flared[outside].max() == 0
    assert flared[inside].max() > 0.9
