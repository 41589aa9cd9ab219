"""What holds for every degradation, whatever its physics."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from medq_engine.degradations import DEGRADATIONS

COLOUR_MODALITIES = ("histopathology", "endoscopy", "fundus")
SEEDS = range(6)

every_degradation = pytest.mark.parametrize(
    "degradation", list(DEGRADATIONS.values()), ids=lambda d: d.name
)


def native(degradation, picture, size=96):
    """A picture of the kind that the degradation occurs in."""
    return picture(size, degradation.modalities[0] in COLOUR_MODALITIES)


def mean_loss(degradation, image, strength):
    """1 - SSIM over the seeds."""
    losses = [
        1
        - structural_similarity(
            image,
            degradation.simulate(image, strength, np.random.default_rng(seed)),
            data_range=1.0,
            channel_axis=2 if image.ndim == 3 else None,
        )
        for seed in SEEDS
    ]
    return np.mean(losses)


@every_degradation
def test_changes_the_image_visibly(degradation, picture):
    image = native(degradation, picture)
    for severity, least in (("mild", 0.008), ("severe", 0.03)):
        for seed in SEEDS:
            degraded = degradation.apply(image, severity, np.random.default_rng(seed))
            assert np.sqrt(np.mean((degraded - image) ** 2)) > least


@every_degradation
def test_none_is_an_exact_copy(degradation, picture):
    image = native(degradation, picture)
    untouched = degradation.apply(image, "none", np.random.default_rng(0))
    np.testing.assert_array_equal(untouched, image)
    assert not np.shares_memory(untouched, image)


@every_degradation
def test_loss_grows_with_severity(degradation, picture):
    image = native(degradation, picture)
    strengths = (degradation.mild, (degradation.mild + degradation.severe) / 2, degradation.severe)
    losses = [mean_loss(degradation, image, strength) for strength in strengths]
    assert 0.0 < losses[0] < losses[1] < losses[2]


@every_degradation
def test_same_seed_same_image_and_the_input_is_kept(degradation, picture):
    image = native(degradation, picture)
    before = image.copy()
    first, second = (degradation.apply(image, "severe", np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(image, before)


@every_degradation
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (97, 130), (512, 512)])
def test_shape_type_and_range_are_kept(degradation, picture, height, width, colour):
    image = picture(height, colour, width=width)
    degraded = degradation.apply(image, "severe", np.random.default_rng(1))
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
            degraded = degradation.apply(image, "severe", np.random.default_rng(seed))
            change = (degraded - image).reshape(64, size // 64, 64, size // 64, -1).mean((1, 3))
            changes.append(np.sqrt(np.mean(change**2)))
        return np.mean(changes)

    assert 0.5 < shrunken_loss(384) / shrunken_loss(64) < 2.0


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_strength_out_of_range_is_refused(picture, strength):
    with pytest.raises(ValueError, match="strength"):
        DEGRADATIONS["blur"].simulate(picture(64, False), strength, np.random.default_rng(0))


@pytest.mark.parametrize(
    "image", [np.zeros((64, 64)), np.zeros((64, 64, 4), np.float32), np.zeros(64, np.float32)]
)
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match="image"):
        DEGRADATIONS["blur"].simulate(image, 0.5, np.random.default_rng(0))
