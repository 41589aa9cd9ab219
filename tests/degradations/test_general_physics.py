"""Faults that several modalities share against the law that makes them what they are."""

import numpy as np
import pytest
from scipy import ndimage

from medq_engine.degradations import DEGRADATIONS

SIZE = 96


def degrade(name, image, seed=0, strength=0.5):
    return DEGRADATIONS[name].simulate(image, strength, np.random.default_rng(seed))


def grey(level):
    return np.full((SIZE, SIZE), level, dtype=np.float32)


@pytest.fixture
def point():
    """A point of light in the middle of a dim, but lit, picture."""
    image = np.full((SIZE + 1, SIZE + 1), 0.1, dtype=np.float32)
    image[SIZE // 2, SIZE // 2] = 1.0
    return image


@pytest.fixture
def fine():
    """Structure down to the pixel."""
    return np.random.default_rng(1).uniform(0.2, 0.8, (SIZE, SIZE)).astype(np.float32)


def runs(lines):
    """How many runs of equal neighbours there are along the first axis."""
    return 1 + int((np.abs(np.diff(lines, axis=0)).max(axis=1) > 1e-6).sum())


@pytest.mark.parametrize("seed", range(4))
def test_cells_are_even_and_hold_the_mean_of_what_they_cover(fine, seed):
    coarse = degrade("low-resolution", fine, seed)
    rows, columns = runs(coarse), runs(coarse.T)
    # A cell is 0.09 * 0.5 of the side long, and up to 1.5 times shorter along one axis.
    longest = round(1 / (0.09 * 0.5))
    assert min(rows, columns) == longest
    assert longest <= max(rows, columns) <= round(1.5 * longest)
    assert coarse.mean() == pytest.approx(fine.mean(), abs=0.002)
    assert coarse.std() < 0.5 * fine.std()  # a mean, not a sample: samples would keep the spread


def test_a_matrix_finer_than_the_pixels_leaves_them_alone(fine):
    # Within the rounding of a resampling to the same size.
    np.testing.assert_allclose(degrade("low-resolution", fine, strength=0.08), fine, atol=1e-6)


def test_low_resolution_cells_are_relative_to_the_picture(picture):
    counts = [
        runs(degrade("low-resolution", picture(size, False), seed=2)[size // 3 : 2 * size // 3])
        for size in (96, 384)
    ]
    assert counts[0] == pytest.approx(counts[1], abs=2)


def test_blur_is_a_gaussian_and_defocus_a_disk(point):
    offsets = np.hypot(*np.mgrid[-SIZE // 2 : SIZE // 2 + 1, -SIZE // 2 : SIZE // 2 + 1])
    gaussian, disk = (
        np.maximum(degrade(name, point, strength=0.6) - 0.1, 0) for name in ("blur", "defocus")
    )
    sigma = 0.04 * 0.6 * (SIZE + 1)
    # The second moment of a Gaussian in the plane is 2 sigma^2.
    assert (gaussian * offsets**2).sum() / gaussian.sum() == pytest.approx(2 * sigma**2, rel=0.03)
    radius = 0.12 * 0.6 * (SIZE + 1)
    inside, outside = disk[offsets < radius - 1], disk[offsets > radius + 1]
    assert np.ptp(inside) < 1e-5 < inside.min()
    assert outside.max() < 1e-5


def test_the_field_stop_stays_sharp_out_of_focus(picture):
    image = np.float32(np.where(picture(SIZE, False) > 0.1, 0.6, 0.0))
    blurred = degrade("defocus", image, strength=1.0)
    np.testing.assert_allclose(blurred[image > 0], 0.6, atol=0.06)
    assert blurred[~ndimage.binary_dilation(image > 0, iterations=3)].max() < 1e-6


def test_a_veil_takes_the_same_share_of_every_difference():
    # Fine stripes of two contrasts: the wide veil is even, so that their ratio is kept.
    stripes = np.where(np.arange(SIZE) % 4 < 2, 1.0, -1.0)[None, :]
    contrasts = [
        np.ptp(degrade("low-contrast", np.float32(0.5 + depth * stripes + grey(0)))[48, 40:56])
        for depth in (0.1, 0.3)
    ]
    assert contrasts[0] / 0.2 == pytest.approx(1 - 0.98 * 0.5, abs=0.01)
    assert contrasts[1] / 0.6 == pytest.approx(1 - 0.98 * 0.5, abs=0.01)


def test_a_veil_leaves_the_air_black_and_pales_colours(picture):
    image = picture(SIZE, True)
    image[image.max(axis=2) < 0.05] = 0
    veiled = degrade("low-contrast", image)
    air = ndimage.binary_erosion(image.max(axis=2) == 0, iterations=3, border_value=1)
    assert veiled[air].max() < 1e-6
    tissue = image.max(axis=2) > 0.2
    spread, was = (np.ptp(i[tissue].mean(axis=0)) for i in (veiled, image))
    assert spread < 0.85 * was


def test_sensor_noise_is_read_out_and_shot_noise():
    # Variance 0.25 + 0.75 of the light; grey levels far from the ends, where nothing is clipped.
    deviations = [np.std(degrade("gaussian-noise", grey(level), 3, 0.3)) for level in (0.3, 0.7)]
    expected = np.sqrt((0.25 + 0.75 * 0.7) / (0.25 + 0.75 * 0.3))
    assert deviations[1] / deviations[0] == pytest.approx(expected, rel=0.02)


def test_compression_breaks_the_picture_at_the_edges_of_its_blocks():
    rows, columns = np.mgrid[0 : 1 : SIZE * 1j, 0 : 1 : SIZE * 1j]
    ramp = np.float32(0.2 + 0.3 * rows + 0.3 * columns)
    steps = np.abs(np.diff(degrade("compression", ramp, strength=1.0), axis=1)).mean(axis=0)
    at_edges = steps[7::8].mean()
    assert at_edges > 3 * np.delete(steps, np.arange(7, SIZE - 1, 8)).mean()
