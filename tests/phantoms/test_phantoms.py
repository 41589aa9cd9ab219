"""Phantoms keep the image contract, are reproducible, and show the anatomy they are named after."""

import numpy as np
import pytest
from scipy.ndimage import laplace

from medq_engine.phantoms import draw
from medq_engine.vocabulary import MODALITIES

GREY = ("mri", "ct")


def many(modality: str, count: int = 24) -> np.ndarray:
    return np.stack([draw(modality, 96, np.random.default_rng(seed)) for seed in range(count)])


def luminance(images: np.ndarray) -> np.ndarray:
    return images if images.ndim == 3 else images @ np.array((0.299, 0.587, 0.114))


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("size", [64, 96, 256])
def test_keeps_the_image_contract(modality, size):
    for seed in range(3):
        image = draw(modality, size, np.random.default_rng(seed))
        assert image.shape == ((size, size) if modality in GREY else (size, size, 3))
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
        assert image.min() >= 0
        assert image.max() <= 1


@pytest.mark.parametrize("modality", MODALITIES)
def test_one_seed_is_one_subject(modality):
    first, again, other = (draw(modality, 96, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.02


def test_names_an_unknown_modality_and_the_known_ones():
    with pytest.raises(ValueError, match=r"ultrasound.*mri"):
        draw("ultrasound", 96, np.random.default_rng(0))


# Mean, standard deviation and sharpness (standard deviation of the Laplacian) of real images at 96
# pixels lie around these: nilearn's MNI template, pydicom and TotalSegmentator CT, CMU-1 and
# TIAToolbox tiles, laparoscopic frames of orena-focus, samples of DRIVE, CHASE-DB1 and HRF.
@pytest.mark.parametrize(
    ("modality", "mean", "spread", "sharpness"),
    [
        ("mri", (0.1, 0.4), (0.2, 0.4), (0.09, 0.25)),
        ("ct", (0.15, 0.5), (0.1, 0.4), (0.05, 0.28)),
        ("histopathology", (0.4, 0.8), (0.1, 0.25), (0.08, 0.4)),
        ("endoscopy", (0.2, 0.5), (0.1, 0.25), (0.05, 0.16)),
        ("fundus", (0.1, 0.45), (0.1, 0.3), (0.03, 0.15)),
    ],
)
def test_intensities_and_sharpness_are_those_of_real_images(modality, mean, spread, sharpness):
    images = luminance(many(modality))
    fine = [laplace(image, mode="nearest").std() for image in images]
    measured = (images.mean((1, 2)), images.std((1, 2)), fine)
    for values, (low, high) in zip(measured, (mean, spread, sharpness), strict=True):
        assert low < np.median(values) < high


@pytest.mark.parametrize("modality", GREY)
def test_air_around_the_patient_is_dark_and_flat(modality):
    corners = np.stack(
        [image[y, x] for image in many(modality) for y in (0, -1) for x in (0, -1)]
    ).reshape(-1, 4)
    assert np.median(corners) < 0.2
    assert np.median(corners.std(1)) < 0.03


def test_chests_and_heads_have_air_soft_tissue_and_bone():
    images = many("ct")
    shown = [(image < 0.2).any() and (image > 0.8).any() for image in images]
    assert np.mean(shown) > 0.5


def test_nuclei_are_dark_and_bluer_than_stroma_and_nothing_outshines_the_slide():
    bluer = []
    for image in many("histopathology"):
        light = luminance(image[None])[0]
        dark, pale = light < np.quantile(light, 0.1), light > np.quantile(light, 0.6)
        assert light[dark].mean() < light[pale].mean() - 0.15
        assert light.mean() < 0.9
        blueness = image[..., 2] - image[..., 0]
        bluer.append(blueness[dark].mean() > blueness[pale].mean())
    # The exceptions are immunohistochemistry, whose darkest pixels are brown.
    assert np.mean(bluer) > 0.7


def test_mucosa_is_red_and_without_highlights():
    for image in many("endoscopy"):
        red, green, blue = image.reshape(-1, 3).mean(0)
        assert red > 1.3 * max(green, blue)
        assert (image.min(2) > 0.9).mean() < 0.005


def test_fundus_is_red_over_green_over_blue_with_a_bright_disc_and_dark_vessels():
    for image in many("fundus"):
        red, green, blue = image[image[..., 0] > 0.15].mean(0)
        assert red > green > blue
    framed = [image for image in many("fundus") if image[0, 0].max() < 0.1]
    assert len(framed) > 12
    for image in framed:
        green = image[..., 1][image[..., 0] > 0.2]
        assert np.quantile(green, 0.998) > 1.25 * np.median(green)
        assert np.quantile(green, 0.01) < 0.8 * np.median(green)
