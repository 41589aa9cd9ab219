"""Faults of tissue sections against the laws of dyes, glass and light that make them what they are.

Ground truth is a slide whose dyes are known: the optical density of glass plus amounts of dye.
"""

import numpy as np
import pytest
from scipy import ndimage

from medq_engine.degradations import DEGRADATIONS
from medq_engine.degradations._stains import DYES, GLASS, tissue_density, unmix
from medq_engine.degradations.blood_cells import thickness

SIZE = 96
CLEAR = np.exp(-GLASS)


def degrade(name, image, seed, strength=0.5):
    return DEGRADATIONS[name].simulate(image, strength, np.random.default_rng(seed))


def slide(*amounts):
    """A uniform section (SIZE, SIZE, 3) with these amounts of haematoxylin, eosin and DAB."""
    light = np.exp(-GLASS - np.array(amounts) @ DYES)
    return np.broadcast_to(light, (SIZE, SIZE, 3)).astype(np.float32)


def density_ratio(name, image, **options):
    """Tissue density after over before, mean of all pixels and channels."""
    after = tissue_density(degrade(name, image, 0, **options)).mean()
    return after / tissue_density(image).mean()


def test_unmixing_recovers_the_dyes():
    amounts = np.array([0.8, 0.5, 0.3])
    unmixed = unmix(slide(*amounts))
    np.testing.assert_allclose(unmixed, np.broadcast_to(amounts, unmixed.shape), atol=1e-4)


@pytest.mark.parametrize("name", ["over-staining", "under-staining", "uneven-staining"])
def test_staining_keeps_clear_glass_and_the_hue_of_each_dye(name):
    for colour in (np.full((SIZE, SIZE, 3), CLEAR, np.float32), np.ones((SIZE, SIZE, 3), "f4")):
        np.testing.assert_allclose(degrade(name, colour, 0, 1.0), colour, atol=1e-5)
    stained = tissue_density(degrade(name, slide(0.6, 0, 0), 0))
    share = stained / np.linalg.norm(stained, axis=2, keepdims=True)
    pure = DYES[0] / np.linalg.norm(DYES[0])
    np.testing.assert_allclose(share, np.broadcast_to(pure, share.shape), atol=1e-3)


def test_over_staining_adds_dye_and_saturates():
    pale, dense = (density_ratio("over-staining", slide(a, a, 0)) for a in (0.1, 1.2))
    assert pale > 1.3 * dense
    assert dense > 1.1


def test_under_staining_bleaches_nuclei_most():
    blue = density_ratio("under-staining", slide(0.6, 0, 0), strength=0.9)
    pink = density_ratio("under-staining", slide(0, 0.6, 0), strength=0.9)
    assert blue < 0.6 * pink
    assert pink < 0.5


@pytest.mark.parametrize("seed", range(4))
def test_dark_spots_are_opaque_brown_black_and_nested(seed):
    glass = slide(0, 0, 0)
    few, many = (degrade("dark-spot", glass, seed, s) for s in (0.3, 0.9))
    red, green, blue = many[many.sum(axis=2) < 0.5].T
    assert len(red) > 20
    assert (red >= green).all()
    assert (green >= blue).all()
    # Every grain stays in its place: what few grains darken, many do.
    shadow = few.mean(axis=2) < 0.5
    assert shadow.any()
    assert (many.mean(axis=2)[shadow] < 0.6).all()
    assert np.isclose(many, glass, atol=1e-3).mean() > 0.5


def test_red_cells_are_biconcave():
    radius = np.linspace(0, 1, 101)
    profile = thickness(radius)
    # Evans and Fung: 0.81 um in the middle, 2.6 um at two thirds of the radius, none at the rim.
    assert profile[0] == pytest.approx(0.31, abs=0.02)
    assert profile.max() == pytest.approx(1, abs=0.01)
    assert radius[profile.argmax()] == pytest.approx(0.7, abs=0.1)
    assert profile[-1] == 0


@pytest.mark.parametrize("seed", range(4))
def test_blood_absorbs_blue_and_green_and_adds_up(seed):
    tissue = slide(0.1, 0.2, 0)
    few, many = (degrade("blood-cells", tissue, seed, s) for s in (0.3, 0.8))
    taken = -np.log(many / tissue).mean(axis=(0, 1))
    assert taken[0] < 0.15 * taken[1] < 0.15 * taken[2]
    assert (many <= few + 1e-5).all()


@pytest.mark.parametrize("seed", range(4))
def test_thread_has_a_bright_core_between_dark_sides(seed):
    ground = np.full((SIZE, SIZE), 0.6, dtype=np.float32)
    change = degrade("thread", ground, seed, 0.6) - ground
    core = change > 0.1
    beside = ndimage.binary_dilation(core, iterations=3) & ~ndimage.binary_dilation(core)
    assert core.sum() > 40
    assert (change[beside] < -0.1).mean() > 0.8


@pytest.mark.parametrize("seed", range(4))
def test_cut_bares_glass_between_straight_parallel_edges(seed):
    tissue = slide(0.4, 0.5, 0)
    cut = degrade("tissue-cut", tissue, seed, 0.8)
    assert cut.max() == pytest.approx(CLEAR, abs=1e-3)
    bare = np.isclose(cut, CLEAR, atol=1e-3).all(axis=2)
    assert 0.08 < bare.mean() < 0.6
    # Away from its edges a slit shows nothing of the tissue; beside them tissue is pressed.
    assert cut.min() < 0.95 * tissue.min()
    across, along = np.gradient(ndimage.gaussian_filter(bare.astype(float), 2))
    tensor = np.cov(np.stack([across.ravel(), along.ravel()]))
    low, high = np.linalg.eigvalsh(tensor)
    assert low < 0.12 * high  # one direction


@pytest.mark.parametrize("seed", range(4))
def test_overlap_is_a_second_layer_with_a_sharp_outline(seed):
    tissue = slide(0.2, 0.3, 0)
    layers = tissue_density(degrade("overlap", tissue, seed, 1.0)) / tissue_density(tissue)
    layers = layers.mean(axis=2)
    once, twice = np.isclose(layers, 1, atol=0.02), np.isclose(layers, 2, atol=0.02)
    assert once.mean() > 0.1
    assert twice.mean() > 0.3
    # A broad piece: a square of a quarter of the side fits in, which no fold lets in.
    assert ndimage.binary_erosion(twice, iterations=SIZE // 8).any()
    # Sharp: from the one to the other within a few pixels, curled edge included.
    assert ((ndimage.distance_transform_edt(~twice) > 6) <= once).all()
