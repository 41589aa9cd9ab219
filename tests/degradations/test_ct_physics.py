"""Tomography: the projector against scikit-image, consistency of data, the law of each error."""

from importlib import import_module

import numpy as np
import pytest
from scipy import ndimage
from skimage.transform import iradon, radon

from medq_engine.degradations import DEGRADATIONS
from medq_engine.degradations._sinogram import (
    ANGLES,
    ATTENUATION,
    VIEWS,
    add_error,
    count,
    project,
    ray_offsets,
    to_grid,
)
from medq_engine.degradations.patient_motion import _moved

SIZE = 96
SEEDS = range(4)


def degrade(name, image, seed=0, strength=0.5):
    return DEGRADATIONS[name].simulate(image, strength, np.random.default_rng(seed))


def coordinates(size=SIZE):
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / size
    return axis[:, None], axis[None, :]


def disc(row, column, radius, size=SIZE):
    rows, columns = coordinates(size)
    edge = (radius - np.hypot(rows - row, columns - column)) * size
    return np.clip(edge + 0.5, 0, 1).astype(np.float32)


@pytest.fixture
def body():
    """A wide ellipse of soft tissue in air, with two bones side by side in the middle."""
    rows, columns = coordinates()
    ellipse = np.clip((1 - np.hypot(rows / 0.25, columns / 0.42)) * 20, 0, 1) * 0.4
    return np.float32(ellipse + 0.5 * (disc(0, -0.2, 0.05) + disc(0, 0.2, 0.05)))


@pytest.fixture
def lopsided():
    """Unequal discs in a circle: every mirror image and every rotation looks different."""
    return 0.3 * disc(0.0, 0.0, 0.35) + 0.5 * disc(-0.1, 0.15, 0.1) + 0.2 * disc(0.2, 0.1, 0.05)


@pytest.fixture
def error_of(monkeypatch):
    """Function that gives the error of the sinogram that a simulation has reconstructed."""

    def error(name, image, seed=0, strength=0.5):
        module = import_module(f"medq_engine.degradations.{name.replace('-', '_')}")
        errors = []

        def spy(image, error):
            errors.append(error)
            return add_error(image, error)

        monkeypatch.setattr(module, "add_error", spy)
        degrade(name, image, seed, strength)
        return errors[0]

    return error


# Projection and reconstruction


def test_projector_agrees_with_scikit_image(lopsided):
    ours = project(lopsided)
    # scikit-image turns the other way round, and about the pixel right of and below the centre.
    odd = np.pad(lopsided, ((1, 0), (1, 0)))
    odd = ndimage.shift(odd, (-0.5, -0.5), order=1)
    theirs = radon(odd, -np.degrees(ANGLES), circle=True).T * (ATTENUATION / SIZE)
    offsets = (np.arange(theirs.shape[1]) - theirs.shape[1] // 2) / SIZE
    ours = np.stack([np.interp(offsets, ray_offsets(SIZE), view) for view in ours])
    assert np.abs(ours - theirs).mean() < 0.01 * theirs.max()
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999


def test_reconstruction_agrees_with_scikit_image(lopsided):
    sinogram = project(lopsided)
    ours = add_error(np.zeros((SIZE, SIZE, 1), np.float32), sinogram)[..., 0]
    theirs = iradon(
        sinogram.T * (SIZE / ATTENUATION),
        -np.degrees(ANGLES),
        output_size=SIZE + 1,
        filter_name="ramp",
        circle=False,
    )
    theirs = ndimage.shift(theirs, (0.5, 0.5), order=1)[1:, 1:]
    inside = disc(0, 0, 0.4) > 0
    assert np.abs(ours - theirs)[inside].mean() < 0.02
    assert np.abs(ours - lopsided)[inside].mean() < 0.02


@pytest.mark.parametrize("size", [64, 97])
def test_line_through_a_disc_is_its_chord(size):
    rays = project(disc(0.1, -0.15, 0.2, size))
    offsets = ray_offsets(size)
    for view in (0, 30, 70, 110):
        distance = offsets - (0.1 * np.sin(ANGLES[view]) - 0.15 * np.cos(ANGLES[view]))
        chord = 2 * np.sqrt(np.maximum(0.2**2 - distance**2, 0)) * ATTENUATION
        deep = np.abs(distance) < 0.15
        assert np.abs(rays[view] - chord)[deep].max() < 0.1 * chord.max()
        assert np.abs(rays[view] - chord)[deep].mean() < 0.03 * chord.max()


def test_data_of_a_body_are_consistent(lopsided):
    # Helgason-Ludwig: the total of a view is the same for all, its first moment a sine of the angle
    # (the centre of mass on the detector).
    rays = project(lopsided)
    total = rays.sum(axis=1)
    np.testing.assert_allclose(total, total[0], rtol=1e-4)
    rows, columns = coordinates()
    row, column = ((lopsided * x).sum() / lopsided.sum() for x in (rows, columns))
    np.testing.assert_allclose(
        rays @ ray_offsets(SIZE) / total, row * np.sin(ANGLES) + column * np.cos(ANGLES), atol=1e-4
    )


def test_grey_air_attenuates_nothing(body):
    lung_window = 0.25 + 0.75 * body[..., None]
    np.testing.assert_allclose(to_grid(lung_window), 0.75 * body, atol=1e-6)


def test_counts_have_the_variance_of_poisson_and_electronics():
    rays = np.full((VIEWS, 200), 1.0)
    expected = 1e4 * np.exp(-1.0)
    for electronic, variance in (
        (0.0, 1 / expected),
        (100.0, 1 / expected + (100 / expected) ** 2),
    ):
        noise = count(rays, 1e4, np.random.default_rng(0), electronic) - rays
        assert noise.var() == pytest.approx(variance, rel=0.05)


# Missing data


@pytest.mark.parametrize("seed", SEEDS)
def test_limited_angle_lacks_one_wedge_of_views(lopsided, error_of, seed):
    rays = project(to_grid(lopsided[..., None]))
    error = error_of("limited-angle", lopsided, seed, 0.5)
    lost = -(error * rays).sum(axis=1) / (rays**2).sum(axis=1)
    np.testing.assert_allclose(error, -lost[:, None] * rays, atol=1e-4)
    assert lost.sum() == pytest.approx(35, abs=0.01)  # degrees, as views are one apart
    # All in one piece, over the turn: besides the two at the ends a view is measured or not.
    missing = lost > 0.999
    assert ((lost < 1e-6) | missing).sum() >= VIEWS - 2
    assert (missing != np.roll(missing, 1)).sum() == 2


def test_limited_angle_breaks_the_consistency_of_data(lopsided, error_of):
    total = (project(lopsided) + error_of("limited-angle", lopsided)).sum(axis=1)
    assert total.min() < 1e-3 * total.max()


def test_limited_angle_loses_the_edges_along_the_missing_rays(error_of):
    image = disc(0, 0, 0.3) * 0.5
    error = error_of("limited-angle", image, 0, 1.0)
    missing = np.abs(error).sum(axis=1) > 0
    middle = np.angle((np.exp(2j * ANGLES) * missing).sum()) / 2
    degraded = degrade("limited-angle", image, 0, 1.0)

    def step(angle):
        """How much brighter the disc is just inside its edge than outside, in that direction."""
        at = (SIZE - 1) / 2 + SIZE * np.outer((np.sin(angle), np.cos(angle)), (0.24, 0.36))
        inside, outside = ndimage.map_coordinates(degraded, at, order=1)
        return inside - outside

    assert step(middle) < 0.4 * step(middle + np.pi / 2)


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_sparse_view_weights_up_the_views_that_are_left(lopsided, error_of, strength):
    rays = project(to_grid(lopsided[..., None]))
    error = error_of("sparse-view", lopsided, 2, strength)
    weight = 1 + (error * rays).sum(axis=1) / (rays**2).sum(axis=1)
    np.testing.assert_allclose(error, (weight - 1)[:, None] * rays, atol=1e-4)
    kept = weight > 1e-6
    assert kept.sum() == round(180 * (12 / 180) ** strength)
    assert weight.sum() == pytest.approx(VIEWS)
    # Evenly spread: no gap is two views wider than another.
    views = np.flatnonzero(kept)
    assert np.ptp(np.diff(views, append=views[0] + VIEWS)) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_truncation_loses_the_ends_of_the_detector(body, error_of, seed):
    rays = project(to_grid(body[..., None]))
    left = rays + error_of("truncation", body, seed, 0.8)
    lost = (left < 1e-6) & (rays > 1e-3)
    changed = np.abs(left - rays) > 1e-6
    # In each view the lost rays are the outermost: those between two measured ones are kept.
    for view in range(0, VIEWS, 15):
        measured = np.flatnonzero((rays[view] > 1e-3) & ~changed[view])
        assert not changed[view, measured[0] : measured[-1]].any()
    # Lost along the long axis of the body: the total of a view is no longer constant.
    total = left.sum(axis=1)
    assert lost.any()
    assert total.min() < 0.9 * total.max()


def test_truncation_brightens_the_border_of_the_field(error_of):
    image = disc(0, 0, 0.45) * 0.3
    degraded = degrade("truncation", image, 0, 0.9)
    kept = (error_of("truncation", image, 0, 0.9) == 0).sum(axis=1).min()
    assert kept > 0
    rows, columns = coordinates()
    radius = np.hypot(rows, columns)
    field = 0.45 * np.sqrt(1 - 0.55 * 0.9**2)
    border = degraded[np.abs(radius - field + 0.05) < 0.01].mean()
    middle = degraded[radius < 0.1].mean()
    assert border > 1.2 * middle > 1.2 * 0.3
    assert degraded[(radius > field + 0.05) & (radius < 0.44)].mean() < 0.2


# Spectrum


def test_beam_hardening_cups(body):
    image = disc(0, 0, 0.4) * 0.5
    change = degrade("beam-hardening", image) - image
    rows, columns = coordinates()
    radius = np.hypot(rows, columns)
    profile = [change[np.abs(radius - r) < 0.03].mean() for r in (0.0, 0.1, 0.2, 0.3, 0.36)]
    assert np.all(np.diff(profile) > 0)
    assert profile[0] < -0.02 < 0.02 < profile[-1]


@pytest.mark.parametrize("seed", SEEDS)
def test_beam_hardening_joins_bones_by_a_dark_band(body, seed):
    change = degrade("beam-hardening", body, seed) - body
    centre = SIZE // 2
    between = change[centre - 3 : centre + 3, centre - 8 : centre + 8].mean()
    above = change[centre - 16 : centre - 10, centre - 8 : centre + 8].mean()
    assert between < above - 0.02


def test_beam_hardening_grows_faster_than_its_spread(body, error_of):
    # One energy is no error, two that are close err by the square of their distance.
    weak, strong = (np.abs(error_of("beam-hardening", body, 0, s)).sum() for s in (0.05, 0.1))
    assert strong == pytest.approx(4 * weak, rel=0.1)


# Thick slices and movement


@pytest.mark.parametrize("seed", SEEDS)
def test_partial_volume_never_gains_attenuation(body, error_of, seed):
    # The logarithm of a mean intensity is below the mean line integral (Jensen), except where the
    # halves of the slice are the same.
    error = error_of("partial-volume", body, seed)
    assert error.max() <= 0
    assert error.min() < -0.02


def test_partial_volume_is_an_average(body):
    thick = degrade("partial-volume", 0.3 + 0.2 * body, 1)
    # Edges blend, flat parts keep their value and so does the mean.
    steepest = [np.abs(np.diff(i, axis=0)).max() for i in (thick, 0.3 + 0.2 * body)]
    assert steepest[0] < 0.8 * steepest[1]
    flat = np.full((SIZE, SIZE), 0.4, np.float32)
    np.testing.assert_allclose(degrade("partial-volume", flat), flat, atol=1e-5)
    assert thick.mean() == pytest.approx((0.3 + 0.2 * body).mean(), rel=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_patient_motion_is_a_body_in_two_places(lopsided, error_of, seed):
    rays = project(to_grid(lopsided[..., None]))
    error = error_of("patient-motion", lopsided, seed, 0.5)
    still = np.abs(error).max(axis=1) < 1e-6
    # Views before the movement are those of the body at rest, and they are consecutive.
    assert still.mean() >= 0.25
    assert (still != np.roll(still, 1)).sum() == 2
    # Nothing of the body is lost.
    np.testing.assert_allclose((rays + error).sum(axis=1), rays.sum(axis=1), rtol=1e-3)
    # The centre of mass lies on one sine before and, further than a pixel away, on another after.
    centre = (rays + error) @ ray_offsets(SIZE) / rays.sum(axis=1)
    design = np.stack([np.sin(ANGLES), np.cos(ANGLES)], axis=1)
    at_rest = np.linalg.lstsq(design[still], centre[still])[0]
    away = np.abs(centre - design @ at_rest)
    assert away[still].max() < 1e-4
    assert away.max() * SIZE > 1


def test_displaced_views_are_those_of_the_displaced_body(lopsided):
    rows, columns, turn = 3.0, -2.0, 10.0
    rotated = ndimage.rotate(lopsided, -turn, reshape=False, order=3)
    displaced = project(ndimage.shift(rotated, (rows, columns), order=3))
    everywhere = np.ones(VIEWS)
    rays = project(lopsided)
    ours = _moved(rays, rows * everywhere, columns * everywhere, turn * everywhere)
    assert np.abs(ours - displaced).mean() < 0.01 * rays.max()
    assert np.abs(ours - displaced).mean() < 0.1 * np.abs(rays - displaced).mean()


# Noise


def direction(change, axis):
    """Correlation of a change (n, n) with itself five pixels on along the axis."""
    lines = np.moveaxis(change, axis, 0)
    return np.corrcoef(lines[:-5].ravel(), lines[5:].ravel())[0, 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_photon_starvation_streaks_along_the_long_axis_and_low_dose_does_not(body, seed):
    for image, along in ((body, 1), (body.T.copy(), 0)):
        image = 0.3 + 0.3 * image
        starved = degrade("photon-starvation", image, seed, 0.3) - image
        noisy = degrade("low-dose-noise", image, seed, 0.3) - image
        assert direction(starved, along) > 0.4
        assert direction(starved, 1 - along) < 0.2
        assert abs(direction(noisy, along) - direction(noisy, 1 - along)) < 0.15


def test_photon_starvation_errs_on_the_longest_rays(body, error_of):
    error = error_of("photon-starvation", body, 0, 0.3)
    share = np.sort((error**2).sum(axis=1))[::-1]
    assert share[: VIEWS // 6].sum() > 0.8 * share.sum()


def test_low_dose_noise_falls_with_the_root_of_the_dose(body, error_of):
    # Strength 0.2 has a quarter of the photons of strength 0.1.
    weak, strong = (error_of("low-dose-noise", body, 0, s).std() for s in (0.1, 0.2))
    assert strong == pytest.approx(2 * weak, rel=0.05)


def test_metal_without_density_leaves_no_noise(body):
    # Only rays through metal err, in proportion to what it absorbs.
    faint = degrade("metal-streak", body, 0, 0.001)
    assert np.abs(faint - body).max() < 0.02
