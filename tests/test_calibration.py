import numpy as np
import polars as pl
import pytest
from skimage.metrics import peak_signal_noise_ratio

from medq_engine import phantoms
from medq_engine.calibration import (
    LEVEL,
    CalibrationError,
    levels,
    loss,
    mean_loss,
    strength_for,
    strengths,
)
from medq_engine.degradations import DEGRADATIONS, STRENGTHS, for_modality
from medq_engine.degradations.base import Degradation
from medq_engine.simulation import seeded
from medq_engine.tables import table
from medq_engine.vocabulary import MODALITIES

FLAT = np.full((64, 64), 0.5, np.float32)


@pytest.fixture
def brighter():
    """A degradation whose RMSE is half its strength."""

    def make(**changes):
        fields = {
            "name": "brighter",
            "label": "brighter",
            "modalities": ("mri",),
            "scope": "general",
            "family": "brighter",
            "aspect": "none",
            "cause": "Light.",
            "parameters": ("strength",),
            "source": "a test",
            "simulate": lambda image, strength, rng: image + np.float32(strength / 2),
            "measure": "rmse",
            "mild": (0.04, 0.06),
            "severe": (0.2, 0.3),
        }
        return Degradation(**(fields | changes))

    return make


@pytest.mark.parametrize("measure", ["ms-ssim", "rmse"])
def test_the_same_image_loses_nothing(measure, picture_of):
    for image in (picture_of("mri"), picture_of("fundus")):
        assert loss(measure, image, image) == pytest.approx(0, abs=1e-5)


@pytest.fixture
def picture_of():
    return lambda modality, seed=0: phantoms.draw(modality, 96, seeded("test", modality, seed))


def test_rmse_is_what_psnr_is_made_of(picture_of):
    image = picture_of("mri")
    other = np.clip(image + 0.1, 0, 1)
    psnr = peak_signal_noise_ratio(image, other, data_range=1)
    assert -20 * np.log10(loss("rmse", image, other)) == pytest.approx(psnr, abs=1e-4)


def test_ms_ssim_minds_structure_more_than_light(picture_of):
    image = picture_of("mri")
    darker = 0.9 * image
    noisy = image + np.random.default_rng(0).normal(0, 0.05, image.shape).astype(np.float32)
    assert loss("ms-ssim", image, np.clip(noisy, 0, 1)) > 5 * loss("ms-ssim", image, darker)


def test_the_strength_meets_the_middle_of_the_band(brighter):
    assert strength_for(brighter(), "mri", (0.04, 0.06), [FLAT]) == pytest.approx(0.1, abs=1e-3)


def test_levels_hold_strength_and_loss_and_make_the_registrys_table(brighter):
    rows = levels(brighter(), "mri", [FLAT])
    found = table(rows, LEVEL)
    assert found["severity"].to_list() == ["mild", "severe"]
    assert found["loss"].to_list() == pytest.approx([0.05, 0.25], abs=1e-3)
    assert found["psnr"].to_list() == pytest.approx([26.0, 12.0], abs=0.1)
    assert strengths(found) == {
        "brighter": {"mri": {"none": 0.0, "mild": rows[0]["strength"], "severe": 0.5}}
    }


def test_a_band_out_of_reach_names_degradation_modality_and_level(brighter):
    with pytest.raises(CalibrationError, match=r"brighter on mri.*severe"):
        levels(brighter(severe=(0.6, 0.8)), "mri", [FLAT])


def test_the_committed_table_is_inside_its_bands_and_is_what_the_registry_uses():
    found = pl.read_csv("docs/degradations/calibration.csv", schema=LEVEL)
    assert strengths(found) == STRENGTHS
    assert len(found) == 2 * sum(len(for_modality(modality)) for modality in MODALITIES)
    for row in found.iter_rows(named=True):
        degradation = DEGRADATIONS[row["name"]]
        band = degradation.mild if row["severity"] == "mild" else degradation.severe
        assert (row["measure"], row["low"], row["high"]) == (degradation.measure, *band)
        assert band[0] <= row["loss"] <= band[1]


@pytest.mark.parametrize(
    ("modality", "name"), [(m, d.name) for m in MODALITIES for d in for_modality(m)]
)
def test_on_fresh_phantoms_levels_cost_about_what_was_calibrated(picture_of, modality, name):
    # Physics that changed without `make calibration` shows here. Phantoms are not the reference
    # set, and three are few: the band is wide.
    degradation = DEGRADATIONS[name]
    images = [picture_of(modality, seed) for seed in range(3)]
    for severity, (low, high) in (("mild", degradation.mild), ("severe", degradation.severe)):
        strength = STRENGTHS[name][modality][severity]
        assert 0.4 * low < mean_loss(degradation, modality, strength, images) < 2.5 * high
