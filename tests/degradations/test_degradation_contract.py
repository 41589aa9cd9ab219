"""What holds for every degradation, whatever its physics."""

import numpy as np
import pytest

from medq_engine.calibration import loss
from medq_engine.degradations import DEGRADATIONS, STRENGTHS

COLOUR_MODALITIES = ("histopathology", "endoscopy", "fundus")
SEEDS = range(6)

every_degradation = pytest.mark.parametrize(
    "degradation", list(DEGRADATIONS.values()), ids=lambda d: d.name
)


def native(degradation, picture, size=96):
    """A picture of the kind that the degradation occurs in."""
    return picture(size, degradation.modalities[0] in COLOUR_MODALITIES)


def strength(degradation, severity):
    return STRENGTHS[degradation.name][degradation.modalities[0]][severity]


def degrade(degradation, image, severity, seed):
    level = strength(degradation, severity)
    return degradation.simulate(image, level, np.random.default_rng(seed))


@every_degradation
def test_changes_the_image_visibly(degradation, picture):
    image = native(degradation, picture)
    for severity, least in (("mild", 0.006), ("severe", 0.02)):
        changes = [degrade(degradation, image, severity, seed) - image for seed in SEEDS]
        assert np.mean([np.sqrt(np.mean(change**2)) for change in changes]) > least


@every_degradation
def test_strength_zero_is_an_exact_copy(degradation, picture):
    image = native(degradation, picture)
    untouched = degradation.simulate(image, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(untouched, image)
    assert not np.shares_memory(untouched, image)


@every_degradation
def test_loss_grows_with_strength(degradation, picture):
    image = native(degradation, picture)

    def mean_loss(level):
        return np.mean(
            [
                loss(
                    degradation.measure,
                    image,
                    degradation.simulate(image, level, np.random.default_rng(seed)),
                )
                for seed in SEEDS
            ]
        )

    mild, severe = (strength(degradation, severity) for severity in ("mild", "severe"))
    losses = [mean_loss(level) for level in (mild, (mild + severe) / 2, severe)]
    assert 0.0 < losses[0] < losses[1] < losses[2]


@every_degradation
def test_same_seed_same_image_and_the_input_is_kept(degradation, picture):
    image = native(degradation, picture)
    before = image.copy()
    first, second = (degrade(degradation, image, "severe", 7) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(image, before)


@every_degradation
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (97, 130), (1024, 1024)])
def test_shape_type_and_range_are_kept(degradation, picture, height, width, colour):
    image = picture(height, colour, width=width)
    degraded = degrade(degradation, image, "severe", 1)
    assert degraded.shape == image.shape
    assert degraded.dtype == np.float32
    assert degraded.min() >= 0
    assert degraded.max() <= 1
    assert not np.array_equal(degraded, image)


@every_degradation
def test_strength_is_the_same_at_every_size(degradation, picture):
    # The model sees every image shrunk to one size: an artefact that is finer on larger images
    # would vanish there, and its label would be wrong.
    def shrunken_loss(size):
        image = native(degradation, picture, size)
        changes = []
        for seed in SEEDS:
            degraded = degrade(degradation, image, "severe", seed)
            change = (degraded - image).reshape(96, size // 96, 96, size // 96, -1).mean((1, 3))
            changes.append(np.sqrt(np.mean(change**2)))
        return np.mean(changes)

    assert 0.5 < shrunken_loss(384) / shrunken_loss(96) < 2.0


@pytest.mark.parametrize("level", [-0.1, 1.1, float("nan")])
def test_strength_out_of_range_is_refused(picture, level):
    with pytest.raises(ValueError, match="strength"):
        DEGRADATIONS["blur"].simulate(picture(64, False), level, np.random.default_rng(0))


@pytest.mark.parametrize(
    "image", [np.zeros((64, 64)), np.zeros((64, 64, 4), np.float32), np.zeros(64, np.float32)]
)
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match="image"):
        DEGRADATIONS["blur"].simulate(image, 0.5, np.random.default_rng(0))
