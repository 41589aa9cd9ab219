"""Faults of fundus photographs against the law that makes them what they are."""

import numpy as np
import pytest

from medq_engine.degradations import DEGRADATIONS
from medq_engine.degradations._field_geometry import centred, depth

SIZE = 96
FUNDUS = ("lens-spots", "lens-flare", "eyelash", "haze", "off-centre")
ROWS, COLUMNS = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
RADIUS = np.hypot(ROWS, COLUMNS)


def degrade(name, image, seed, strength=0.7):
    return DEGRADATIONS[name].simulate(image, strength, np.random.default_rng(seed))


@pytest.fixture
def retina():
    """A textured, reddish disk in the black of the field stop."""
    texture = 0.5 + 0.15 * np.random.default_rng(0).standard_normal((SIZE, SIZE)).clip(-2, 2)
    disk = np.where(RADIUS < 0.85, texture, 0.0)[..., None] * np.array([0.9, 0.5, 0.3])
    return disk.astype(np.float32)


def flat(level):
    """An evenly grey disk in the black of the field stop."""
    disk = np.where(RADIUS < 0.85, level, 0.0)[..., None]
    return np.repeat(disk, 3, axis=2).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", FUNDUS)
def test_the_field_stop_stays_black_and_in_place(retina, name, seed):
    degraded = degrade(name, retina, seed, strength=1.0)
    assert degraded[RADIUS > 0.91].max() == 0
    assert np.abs(degraded - retina)[RADIUS < 0.8].mean() > 0.01


def test_distances_are_from_the_rim_of_the_field():
    field = np.float32((np.hypot(ROWS - 0.1, COLUMNS) < 0.6) & (ROWS > -0.2))
    rows, columns, radius = centred(field)
    assert radius == pytest.approx(0.3, abs=0.015)
    assert columns[0, SIZE // 2] == pytest.approx(0, abs=0.01)
    assert rows[SIZE * 5 // 8, 0] == pytest.approx(0, abs=0.02)  # the box reaches from -0.2 to 0.7
    inwards = depth(field)
    assert inwards[RADIUS > 0.75].max() == 0
    assert inwards.max() == pytest.approx(0.225, abs=0.02)


@pytest.mark.parametrize("seed", range(6))
def test_lashes_enter_from_one_of_two_rims_below_the_light_of_the_lid(retina, seed):
    change = (degrade("eyelash", retina, seed) - retina).mean(axis=2)
    touched = [np.abs(change[part]).mean() for part in (ROWS < -0.3, ROWS > 0.3)]
    assert max(touched) > 20 * min(touched)
    darker, brighter = (change < -0.1).mean(), (change > 0.1).mean()
    assert darker > 0.005
    assert brighter > 0.01
    # Lashes are thin: few of their pixels have dark pixels a lash and a half away on both sides.
    dark = change < -0.1
    wide = dark[:, 4:-4] & dark[:, :-8] & dark[:, 8:]
    assert wide.sum() < 0.35 * dark.sum()


@pytest.mark.parametrize("seed", range(3))
def test_haze_is_an_airlight_that_thickens_inwards(seed):
    dark, bright = (degrade("haze", flat(level), seed) for level in (0.2, 0.4))
    # I = t J + (1 - t) L: the difference of two scenes shows t, what is left without light L.
    transmission = ((bright - dark) / 0.2).mean(axis=2)
    centre, rim = RADIUS < 0.3, (RADIUS > 0.7) & (RADIUS < 0.8)
    assert transmission[centre].mean() < 0.75 * transmission[rim].mean()
    assert dark[centre].mean() > dark[rim].mean() > 0.2


def test_the_hazy_lens_is_yellow():
    red, green, blue = degrade("haze", flat(0.6), 0)[RADIUS < 0.8].mean(axis=0)
    assert red > green > blue


def test_haze_blurs_by_forward_scatter():
    # Off a hard edge within the field light spreads, which a veil alone would not do.
    image = flat(0.2)
    image[:, SIZE // 2 :] *= 3
    hazy = degrade("haze", image, 0)[SIZE // 2].mean(axis=1)
    steps = np.abs(np.diff(hazy))[SIZE // 4 : 3 * SIZE // 4]
    assert np.sort(steps)[-3] > 0.1 * steps.max()


@pytest.mark.parametrize("seed", range(6))
def test_the_retina_moves_by_whole_pixels_without_blur(retina, seed):
    moved = degrade("off-centre", retina, seed, strength=0.3)
    window = slice(40, 56)
    errors = {
        (down, right): np.abs(
            moved[window, window]
            - retina[40 - down : 56 - down, window.start - right : window.stop - right]
        ).max()
        for down in range(-16, 17)
        for right in range(-16, 17)
    }
    (down, right), error = min(errors.items(), key=lambda item: item[1])
    assert error < 0.02
    assert np.hypot(down, right) == pytest.approx(0.4 * 0.3 * SIZE, abs=1)
    # What it left is dark: behind it along the move, within the stop.
    ahead = (ROWS * down + COLUMNS * right) / np.hypot(down, right)
    lens = (ahead < -0.7) & (RADIUS < 0.82)
    assert moved[lens].mean() < 0.5 * retina[lens].mean()


def test_the_displacement_grows_from_the_first_pixel(retina):
    changes = [
        np.abs(degrade("off-centre", retina, 4, strength) - retina).mean()
        for strength in (0.004, 0.1, 0.4, 0.9)
    ]
    assert changes[0] < 0.25 * changes[1]
    assert changes == sorted(changes)


@pytest.mark.parametrize("seed", range(3))
def test_a_cropped_field_darkens_on_one_side_only(seed):
    image = np.full((SIZE, SIZE, 3), 0.5, dtype=np.float32)
    shaded = degrade("off-centre", image, seed, strength=0.5)
    corners = np.sort(shaded[[0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=1))
    assert corners[0] < 0.1
    assert corners[-1] == pytest.approx(0.5, abs=0.05)
