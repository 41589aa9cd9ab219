"""MRI in k-space: the law of each simulator, and TorchIO as an oracle where both have the artifact.

TorchIO works on volumes: a slice is a volume whose second axis has length one, and its k-space is
split into groups along the last axis.
"""

import numpy as np
import pytest
import torch
import torchio
from scipy import ndimage

from medq_engine.degradations import DEGRADATIONS
from medq_engine.degradations._kspace import displacement, frequencies, kspace, magnitude
from medq_engine.degradations.chemical_shift import SHIFT, fat_share
from medq_engine.degradations.gibbs_ringing import PHASE, READOUT
from medq_engine.degradations.rigid_motion import acquire
from medq_engine.degradations.susceptibility import dipole, distort

SIZE = 96
LATER = 0.6  # of the scan is over when the object moves; the centre of k-space is at 0.5

seeds = pytest.mark.parametrize("seed", range(4))


def degrade(name, image, seed, strength=0.5):
    return DEGRADATIONS[name].simulate(image, strength, np.random.default_rng(seed))


def oracle(transform, image):
    """TorchIO's `transform` of a slice; the origin of the coordinates is its centre."""
    affine = np.eye(4)
    affine[0, 3], affine[2, 3] = -(image.shape[0] - 1) / 2, -(image.shape[1] - 1) / 2
    volume = torchio.ScalarImage(tensor=torch.from_numpy(image[None, :, None, :]), affine=affine)
    return transform(volume).numpy()[0, :, 0, :]


@pytest.fixture
def square():
    """A bright square in air, smooth enough not to ring."""
    image = np.zeros((SIZE, SIZE), dtype=np.float32)
    image[40:56, 40:56] = 0.5
    return ndimage.gaussian_filter(image, 1.5)


@pytest.fixture
def disc():
    """A disc of even tissue with a rim of bright fat."""
    rows, columns = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    radius = np.hypot(rows, columns)
    return np.where(radius < 0.6, 0.4, np.where(radius < 0.7, 0.8, 0.0)).astype(np.float32)


def change_beside(axis, image, degraded):
    """Mean absolute change of the lines across `axis` that hold nothing but air."""
    air = ndimage.minimum_filter1d(np.float32(image.max(axis=1 - axis) < 1e-4), 9) > 0
    return np.abs(degraded - image).mean(axis=1 - axis)[air].mean()


# --- rigid motion ---------------------------------------------------------------------------------


def test_one_pose_for_all_lines_is_a_plain_shift(square):
    everything = np.zeros((1, SIZE, 1), dtype=int)
    data = acquire(square[..., None], everything, [(5 / SIZE, -9 / SIZE, 0.0)])
    np.testing.assert_allclose(magnitude(data)[..., 0], np.roll(square, (5, -9), (0, 1)), atol=1e-5)


def late_pose(image, pose):
    """Real part of an image whose last lines belong to `pose`, as TorchIO shows it."""
    late = frequencies(image[..., None], 1) + SIZE // 2 >= int(LATER * SIZE)
    data = acquire(image[..., None], late.astype(int), [(0.0, 0.0, 0.0), pose])
    return np.fft.ifft2(data, axes=(0, 1)).real[..., 0]


@pytest.mark.parametrize("shift", [(0, 7), (6, 0), (-4, 5)])
def test_translation_during_the_scan_is_that_of_torchio(square, shift):
    # Whole pixels, so that the interpolation of the oracle does not blur.
    row, column = shift
    ours = late_pose(square, (row / SIZE, column / SIZE, 0.0))
    # The oracle moves the grid and not the object, and its resampler flips the first axis.
    motion = torchio.Motion(
        degrees=np.zeros((1, 3)),
        translation=np.array([[row, 0.0, -column]]),
        times=np.array([LATER]),
        image_interpolation="linear",
    )
    np.testing.assert_allclose(ours, oracle(motion, square), atol=1e-4)
    assert np.abs(ours - square).max() > 0.02


@pytest.mark.parametrize("degrees", [-6.0, 9.0])
def test_rotation_during_the_scan_is_that_of_torchio(picture, degrees):
    image = ndimage.gaussian_filter(picture(SIZE, False), 1.5)
    ours = late_pose(image, (0.0, 0.0, np.deg2rad(degrees)))
    motion = torchio.Motion(
        degrees=np.array([[0.0, -degrees, 0.0]]),  # the oracle turns the grid
        translation=np.zeros((1, 3)),
        times=np.array([LATER]),
        image_interpolation="bspline",
    )
    np.testing.assert_allclose(ours, oracle(motion, image), atol=1e-4)
    assert np.abs(ours - image).max() > 0.02


@seeds
def test_stripes_of_sudden_motion_lie_along_one_axis(square, seed):
    moved = degrade("rigid-motion", square, seed, strength=0.2)
    beside, above = (change_beside(axis, square, moved) for axis in (1, 0))
    assert max(beside, above) > 3 * min(beside, above)


# --- motion ghosting and aliasing -----------------------------------------------------------------


@pytest.mark.parametrize("ghosts", [3, 4, 6])
def test_ghosts_are_as_far_apart_as_those_of_torchio(ghosts):
    # A movement with a period of n lines repeats a narrow object n times over the field of view.
    bar = np.zeros((SIZE, SIZE), dtype=np.float32)
    bar[32:64, SIZE // 2] = 1.0
    bar = ndimage.gaussian_filter(bar, 1.2)
    move = 0.01 * np.sin(2 * np.pi * frequencies(bar[..., None], 1) / ghosts)
    still = np.zeros(1)
    ours = magnitude(kspace(bar[..., None]) * displacement(bar[..., None], still, move))[..., 0]
    theirs = oracle(torchio.Ghosting(ghosts, 2, intensity=0.4, restore=0.0), bar)
    spacing = SIZE // ghosts
    # Place of each column within the period, 0 where the object and its ghosts lie.
    places = (np.arange(SIZE) - SIZE // 2 + spacing // 2) % spacing - spacing // 2
    away = abs(np.arange(SIZE) - SIZE // 2) > spacing // 2
    for ghosted in (ours, theirs):
        change = np.abs(ghosted - bar).mean(axis=0)
        on_ghosts = change[away & (abs(places) < 3)].mean()
        between = change[away & (abs(places) > spacing // 2 - 3)].mean()
        assert on_ghosts > 20 * between


@seeds
@pytest.mark.parametrize("strength", [0.3, 0.7])
def test_fold_over_equals_lines_that_torchio_boosts(square, seed, strength):
    # Attenuating all lines but each n-th is boosting each n-th, up to a factor of the whole.
    folded = degrade("aliasing", square, seed, strength)
    candidates = [
        oracle(torchio.Ghosting(n, axis, intensity=-strength / (1 - strength), restore=0.0), square)
        for n in (2, 3)
        for axis in (0, 2)
    ]
    errors = [np.abs(folded - c * folded.sum() / c.sum()).max() for c in candidates]
    assert min(errors) < 1e-5
    assert sorted(errors)[1] > 0.01


# --- spike noise and bias field -------------------------------------------------------------------


@seeds
def test_spikes_are_points_of_kspace_as_in_torchio(seed):
    # A bright ground keeps the magnitude linear, so that points stay points.
    image = np.full((SIZE, SIZE), 0.6, dtype=np.float32)
    ours = np.abs(np.fft.fft2(degrade("spike-noise", image, seed, strength=0.1) - image))
    # Put the oracle's spikes, one at a time, where ours are.
    points = np.argwhere(ours > 0.2 * ours.max())
    assert 2 <= len(points) <= 6  # each with its mirror image
    theirs = np.zeros_like(ours)
    for row, column in points:
        place = [(index + SIZE // 2) % SIZE + 0.5 for index in (row, column)]
        spike = torchio.Spike(np.array([[place[0] / SIZE, 0, place[1] / SIZE]]), intensity=0.01)
        theirs = np.maximum(theirs, np.abs(np.fft.fft2(oracle(spike, image) - image)))
    cosine = np.sum(ours * theirs) / np.linalg.norm(ours) / np.linalg.norm(theirs)
    assert cosine > 0.98


@seeds
def test_bias_field_is_one_of_torchio(seed):
    # The logarithm of the gain is a polynomial of degree three: fit the oracle's terms to it.
    order, image = 3, np.full((SIZE, SIZE), 0.05, dtype=np.float32)
    biased = degrade("bias-field", image, seed)
    shape = (1, SIZE, 1, SIZE)
    terms = [
        np.log(torchio.BiasField.generate_bias_field(torch.zeros(shape), order, unit))[:, 0].ravel()
        for unit in np.eye(20)
    ]
    target = np.log(biased / image).ravel()
    coefficients = np.linalg.lstsq(np.stack(terms, axis=1), target, rcond=None)[0]
    theirs = oracle(torchio.BiasField(list(coefficients), order), image)
    np.testing.assert_allclose(biased, theirs, rtol=1e-3)
    assert np.ptp(target) > 1


# --- undersampling --------------------------------------------------------------------------------


@seeds
def test_missing_lines_smear_along_the_phase_axis_alone(square, seed):
    undersampled = degrade("undersampling", square, seed)
    beside, above = (change_beside(axis, square, undersampled) for axis in (1, 0))
    assert max(beside, above) > 5e-4
    assert min(beside, above) < 1e-3 * max(beside, above)


@seeds
def test_zero_filling_takes_energy_and_keeps_the_centre(square, seed):
    undersampled = degrade("undersampling", square, seed)
    assert np.sum(undersampled**2) < np.sum(square**2)
    # The sum is that of the centre of k-space, to which a magnitude can only add.
    assert undersampled.sum() >= square.sum() * (1 - 1e-5)


def test_missing_lines_leave_no_copy_but_fold_over_does():
    # On a ground that keeps the magnitude linear, a copy is a peak in the response to a point.
    point = np.full((SIZE, SIZE), 0.3, dtype=np.float32)
    point[SIZE // 2, SIZE // 2] = 0.9

    def highest_copy(name, seed):
        degraded = degrade(name, point, seed)
        degraded = degraded - np.median(degraded)
        near = np.zeros_like(point, dtype=bool)
        near[SIZE // 2 - 8 : SIZE // 2 + 9, SIZE // 2 - 8 : SIZE // 2 + 9] = True
        return degraded[~near].max() / degraded.max()

    copies = {n: [highest_copy(n, s) for s in range(6)] for n in ("aliasing", "undersampling")}
    assert np.mean(copies["undersampling"]) < 0.6 * np.mean(copies["aliasing"])


# --- Gibbs ringing --------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.4, 0.7, 1.0])
def test_edges_overshoot_by_nine_percent_whatever_is_kept(strength):
    step = np.full((512, 512), 0.3, dtype=np.float32)
    step[128:384] = 0.6
    ringing = degrade("gibbs-ringing", step, 0, strength)
    overshoot = (ringing.max() - 0.6) / 0.3
    assert overshoot == pytest.approx(0.0895, abs=0.015)
    assert np.abs(np.diff(ringing, axis=1)).max() < 1e-5  # parallel to the edge


@seeds
def test_ringing_cuts_one_axis_low_and_the_other_high(picture, seed):
    image = 0.3 + 0.4 * picture(SIZE, False)  # bright: the magnitude changes nothing
    ringing = degrade("gibbs-ringing", image, seed)
    before, after = (np.abs(np.fft.fft2(i)) for i in (image, ringing))
    lines = abs(np.fft.fftfreq(SIZE)) * SIZE
    low, high = (np.sqrt(SIZE / 2 * last) for last in (PHASE, READOUT))
    # The last line with signal on each axis is the one at the cut, or a part of the next.
    signal = after > 1e-5 * after.max()
    highest = sorted(lines[signal.any(axis=1 - axis)].max() for axis in (0, 1))
    assert low - 1 < highest[0] < low + 1
    assert high - 1 < highest[1] < high + 1
    kept = np.hypot(lines[:, None], lines[None, :]) < low
    np.testing.assert_allclose(after[kept], before[kept], rtol=1e-3, atol=1e-5 * before.max())


# --- zipper ---------------------------------------------------------------------------------------


@seeds
def test_zipper_is_narrow_across_and_noise_along(seed):
    lines = degrade("zipper", np.zeros((SIZE, SIZE), dtype=np.float32), seed, strength=0.25)
    across = max((np.square(lines).mean(axis=axis) for axis in (0, 1)), key=lambda p: p.max())
    assert np.sort(across)[::-1][: SIZE // 4].sum() > 0.95 * across.sum()
    readout = 1 if np.allclose(np.square(lines).mean(axis=0), across) else 0
    dots = lines.take(int(np.argmax(across)), axis=readout)
    # Magnitude of complex noise: Rayleigh, with a standard deviation of 0.52 of the mean.
    assert dots.std() / dots.mean() == pytest.approx(np.sqrt(4 / np.pi - 1), rel=0.25)
    # The dots are independent: a zipper, not a stripe.
    assert abs(np.corrcoef(dots[1:], dots[:-1])[0, 1]) < 0.35


# --- chemical shift -------------------------------------------------------------------------------


@seeds
def test_fat_moves_along_the_readout_by_the_same_length(disc, seed):
    fat = disc * fat_share(disc[..., None])[..., 0]
    moved = degrade("chemical-shift", disc, seed, strength=0.4) - (disc - fat)
    before, after = (np.array(ndimage.center_of_mass(f)) for f in (fat, moved))
    along, across = sorted(np.abs(after - before))[::-1]
    assert along == pytest.approx(0.4 * SHIFT * SIZE, rel=0.05)
    assert across < 0.05
    assert moved.sum() == pytest.approx(fat.sum(), rel=0.02)


@seeds
def test_chemical_shift_is_bright_on_one_side_and_dark_on_the_other(disc, seed):
    change = degrade("chemical-shift", disc, seed, strength=0.3) - disc
    tissue = np.hypot(*np.indices(disc.shape) - (SIZE - 1) / 2) < 0.6 * SIZE / 2
    change = np.where(tissue, change, 0)
    half = SIZE // 2
    halves = (change[:half], change[half:]), (change[:, :half], change[:, half:])
    darker, brighter = max((sorted((a.sum(), b.sum())) for a, b in halves), key=np.ptp)
    assert brighter > 5
    assert darker < -5
    assert np.abs(change[40:56, 40:56]).max() < 0.02  # deep inside there is water only


# --- susceptibility -------------------------------------------------------------------------------


def test_dipole_falls_with_the_cube_and_vanishes_at_the_magic_angle():
    rows = np.linspace(-8, 8, 161)[:, None]
    columns = np.linspace(-8, 8, 161)[None, :]
    field, slope = dipole(rows, columns, 1.0, axis=0)
    pole, equator = field[:, 80], field[80]
    assert pole[100] == pytest.approx(2 / 8)  # two radii from the centre
    assert equator[100] == pytest.approx(-1 / 8)
    assert pole[120] / pole[100] == pytest.approx(1 / 8)
    angle = np.degrees(np.arctan2(abs(columns), abs(rows)))
    outside = np.hypot(rows, columns) > 2
    assert (field[outside & (angle < 54)] > 0).all()
    assert (field[outside & (angle > 55.5)] < 0).all()
    numeric = np.hypot(*np.gradient(field, 0.1))
    np.testing.assert_allclose(slope[outside], numeric[outside], rtol=0.05, atol=1e-3)


def test_distortion_keeps_light_and_stands_still_without_a_field(picture):
    image = picture(64, False)[..., None]
    np.testing.assert_allclose(distort(image, np.zeros((64, 64))), image, atol=1e-6)
    shift = 3 * np.sin(np.linspace(0, 6, 64))[None, :] * np.ones((64, 1))
    np.testing.assert_allclose(
        distort(image, shift).sum(axis=1)[:, 0], image.sum(axis=1)[:, 0], rtol=1e-5
    )
    whole = distort(image, np.full((64, 64), 4.0))
    np.testing.assert_allclose(whole[:, 4:], image[:, :-4], atol=1e-6)


@seeds
def test_metal_leaves_a_void_with_a_bright_border(seed):
    tissue = np.full((SIZE, SIZE), 0.4, dtype=np.float32)
    degraded = degrade("susceptibility", tissue, seed)
    assert degraded.min() < 0.02
    assert degraded.max() > 0.6  # piled up
    # Light moves along the readout and is lost by dephasing, never gained.
    gains = [np.max(degraded.sum(axis=axis) - tissue.sum(axis=axis)) for axis in (0, 1)]
    assert min(gains) < 1e-3 * SIZE
