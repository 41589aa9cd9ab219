"""Faults of endoscopic frames against the laws of light and video that make them what they are."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from medq_engine.degradations import DEGRADATIONS
from medq_engine.degradations._field_stop import circle, field_of_view
from medq_engine.degradations.interlacing import LINES
from medq_engine.degradations.smoke import AIR_LIGHT

SIZE = 96
GAMMA = 2.2
ENDOSCOPIC = [
    "specular-reflection",
    "bubbles",
    "smoke",
    "blood",
    "instrument-occlusion",
    "interlacing",
    "motion-blur",
    "vignette",
]


def degrade(name, image, seed, strength=0.5):
    return DEGRADATIONS[name].simulate(image, strength, np.random.default_rng(seed))


def plain(colour, size=SIZE):
    return np.broadcast_to(np.float32(colour), (size, size, 3)).copy()


@pytest.fixture
def scope():
    """Pink texture with a dark lumen behind a round field stop, and the mask of the field."""
    rows, columns = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    texture = 0.6 + 0.15 * np.sin(9 * rows) * np.sin(7 * columns)
    texture *= 1 - 0.97 * np.exp(-((rows - 0.1) ** 2 + columns**2) / 0.02)
    inside = np.hypot(rows, columns) < 0.95
    image = (texture * inside)[..., None] * np.array([1.0, 0.6, 0.55])
    return image.astype(np.float32), inside


def test_field_stop_is_found_and_the_lumen_is_no_stop(scope):
    image, inside = scope
    field = field_of_view(image)
    assert (field[ndimage.binary_erosion(inside, iterations=3)] > 0.95).all()
    assert (field[~ndimage.binary_dilation(inside, iterations=3)] < 0.05).all()
    row, column, radius = circle(field)
    assert (row, column) == (pytest.approx(0, abs=0.01), pytest.approx(0, abs=0.01))
    assert radius == pytest.approx(0.475, abs=0.02)


def test_a_dark_scene_has_no_field_stop():
    assert field_of_view(plain(0.01)).min() == pytest.approx(1)


@pytest.mark.parametrize("name", ENDOSCOPIC)
def test_what_is_before_the_lens_ends_at_the_field_stop(scope, name):
    image, inside = scope
    degraded = degrade(name, image, 1, strength=0.9)
    outside = ~ndimage.binary_dilation(inside, iterations=3)
    assert np.abs(degraded - image)[outside].max() < 0.03
    assert np.abs(degraded - image)[inside].max() > 0.1


@pytest.mark.parametrize("seed", range(4))
def test_highlights_lie_where_the_surface_faces_the_lamp(seed):
    # Shading of ridges: brightest on the crest, which alone is level.
    columns = np.arange(SIZE) / SIZE
    shading = 0.45 + 0.25 * np.cos(2 * np.pi * 4 * columns)
    image = plain(shading[None, :, None] * np.array([1.0, 0.6, 0.5]))
    white = degrade("specular-reflection", image, seed).min(axis=2) > 0.95
    crest, flank = shading > 0.65, np.abs(shading - 0.45) < 0.12
    assert white[:, crest].mean() > 5 * white[:, flank].mean()
    assert white.any()


@pytest.mark.parametrize("seed", range(4))
def test_smoke_mixes_each_pixel_with_the_air_light(seed):
    # Koschmieder: of two scenes in the same smoke the difference is the transmission.
    dark, bright = (degrade("smoke", plain(c), seed) ** GAMMA for c in (0.1, 0.6))
    transmission = (bright - dark) / (0.6**GAMMA - 0.1**GAMMA)
    air = (dark - 0.1**GAMMA * transmission) / (1 - transmission)
    np.testing.assert_allclose(air, plain(AIR_LIGHT) ** GAMMA, rtol=0.02)
    assert transmission.max() > 1.2 * transmission.min()  # it billows
    blurred = ndimage.gaussian_filter(transmission, (2, 2, 0))
    assert np.abs(blurred - transmission).mean() < 0.2 * transmission.std()  # with soft edges


@pytest.mark.parametrize("seed", range(4))
def test_blood_absorbs_green_and_blue_and_spares_red(seed):
    image = plain((0.8, 0.6, 0.55))
    bloody = degrade("blood", image, seed)
    film = (bloody < image - 0.02).any(axis=2) & (bloody[..., 1] < 0.3)
    assert 0.05 < film.mean() < 0.9
    density = -np.log(np.maximum(bloody[film], 1e-4) / image[film])
    assert (density[:, 1] > 3 * density[:, 0]).mean() > 0.95


def test_pool_of_blood_only_grows():
    image = plain((0.8, 0.6, 0.55))
    covered = [degrade("blood", image, 3, s)[..., 1] < 0.3 for s in (0.2, 0.4, 0.7)]
    for small, large in pairwise(covered):
        assert small.sum() < large.sum()
        assert (small & ~large).mean() < 0.01  # glints wander


@pytest.mark.parametrize("seed", range(4))
def test_instrument_is_grey_metal_that_enters_from_the_border(seed):
    image = plain((0.8, 0.4, 0.35))
    shown = degrade("instrument-occlusion", image, seed, strength=0.8)
    grey = np.ptp(shown, axis=2) < 0.12
    labels, _ = ndimage.label(grey)
    shaft = labels == np.argmax(np.bincount(labels[grey]))
    assert 0.05 < shaft.mean() < 0.5
    border = np.concatenate([shaft[0], shaft[-1], shaft[:, 0], shaft[:, -1]])
    assert border.any()
    assert shown[shaft].max() > 0.9  # the line that mirrors the lamp
    # It hides what lies behind it.
    other = degrade("instrument-occlusion", plain((0.3, 0.5, 0.7)), seed, strength=0.8)
    core = ndimage.binary_erosion(shaft, iterations=2)
    np.testing.assert_allclose(other[core], shown[core], atol=1e-5)


@pytest.mark.parametrize("size", [96, 192, 384])
def test_interlacing_moves_every_other_line_sideways(size):
    columns = (np.arange(size) / size - 0.5) / 0.05
    image = plain((0.5 + 0.3 * np.tanh(columns))[None, :, None], size)
    combed = degrade("interlacing", image, 0, strength=0.8)
    thick = size // LINES
    line = np.arange(size) // thick % 2
    np.testing.assert_array_equal(combed[line == 0], image[line == 0])
    odd = combed[line == 1].mean(axis=2)
    edge = (np.abs(odd - 0.5)).argmin(axis=1) / size - 0.5
    assert np.ptp(edge) == 0  # one motion for all lines of the field
    assert abs(edge[0]) == pytest.approx(0.8 * 0.08, abs=0.01)


def test_vignette_is_a_gain_that_falls_by_a_power_of_the_cosine_about_the_middle():
    gain = degrade("vignette", plain(0.5), 4, strength=0.6)[..., 0] / 0.5
    np.testing.assert_allclose(gain, np.rot90(gain), rtol=1e-4)
    rows, columns = (np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2) / SIZE
    tangent = 2.6 * 0.6 * np.hypot(rows, columns) / np.hypot(rows, columns).max()
    power = GAMMA * np.log(gain) / np.log(np.cos(np.arctan(tangent)))
    assert np.ptp(power) < 0.05
    assert 4 <= power.mean() <= 5.5


def test_uneven_illumination_keeps_its_best_lit_place_and_darkens_the_far_side():
    gain = degrade("uneven-illumination", plain(0.5), 2, strength=0.7)[..., 0] / 0.5
    assert gain.max() >= 1
    assert gain.min() < 0.4
    brightest = np.array(np.unravel_index(gain.argmax(), gain.shape)) - SIZE / 2
    darkest = np.array(np.unravel_index(gain.argmin(), gain.shape)) - SIZE / 2
    assert brightest @ darkest < 0


@pytest.mark.parametrize("seed", range(3))
def test_under_exposure_is_a_gain_in_linear_light_that_grows_grainy(seed):
    bright, dark = (
        degrade("under-exposure", plain(level), seed) ** GAMMA / level**GAMMA
        for level in (0.9, 0.45)
    )
    # 2.3 stops, +-10 %, and the same for every level of light.
    assert -np.log2(bright.mean()) == pytest.approx(2.3, rel=0.12)
    assert dark.mean() == pytest.approx(bright.mean(), rel=0.03)
    # Photon noise: relative spread goes with the inverse root of the light.
    relative = [signal.std() / signal.mean() for signal in (dark, bright)]
    assert relative[0] / relative[1] == pytest.approx(2 ** (GAMMA / 2), rel=0.1)


def test_motion_blur_streaks_along_one_direction():
    image = np.full((SIZE, SIZE), 0.2, dtype=np.float32)
    image[SIZE // 2, SIZE // 2] = 1.0
    streak = degrade("motion-blur", image, 5, strength=0.8) - 0.2
    points = np.argwhere(streak > 0.02) - SIZE / 2
    spread = np.linalg.eigvalsh(np.cov(points.T))
    assert spread[1] > 20 * spread[0]


def test_colour_cast_is_one_gain_a_channel():
    image = np.random.default_rng(0).uniform(0.05, 0.3, (SIZE, SIZE, 3)).astype(np.float32)
    gain = degrade("colour-cast", image, 1) / image
    assert np.ptp(gain, axis=(0, 1)).max() < 1e-4
    assert np.ptp(gain[0, 0]) > 0.2
