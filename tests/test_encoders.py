import numpy as np
import pytest

from medq_engine.encoders import encode, fit_space
from medq_engine.image_statistics import image_statistics


def test_image_statistics_need_no_model(noise_images):
    found = encode("image-statistics", noise_images, None, 1)
    assert np.array_equal(found, np.stack([image_statistics(image) for image in noise_images]))


@pytest.fixture
def vectors() -> tuple[np.ndarray, list[str]]:
    """Two modalities far apart, and features of very different scale."""
    rng = np.random.default_rng(0)
    here = rng.normal(size=(40, 6)) * [1, 1, 1, 1, 1, 100]
    here[20:, 0] += 50
    return here.astype(np.float32), ["mri"] * 20 + ["ct"] * 20


def test_every_modality_is_centred_on_its_own_mean(vectors):
    raw, modalities = vectors
    unit = fit_space(raw, modalities).unit(raw, modalities)
    cosines = unit @ unit.T
    # Anatomy is gone: images of one modality are not alike because they are of one modality.
    assert cosines[:20, :20][~np.eye(20, dtype=bool)].mean() < 0.05
    raw_unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    assert fit_space(raw, modalities).means["ct"] == pytest.approx(raw[20:].mean(0))
    assert np.abs(cosines - raw_unit @ raw_unit.T).max() > 0.5


def test_vectors_have_length_one_in_single_precision(vectors):
    raw, modalities = vectors
    unit = fit_space(raw, modalities).unit(raw, modalities)
    assert unit.dtype == np.float32
    assert unit.shape == raw.shape
    assert np.linalg.norm(unit, axis=1) == pytest.approx(np.ones(40), abs=1e-5)


def test_no_feature_outweighs_the_others_by_its_scale(vectors):
    raw, modalities = vectors
    scaled = raw * np.float32([1, 1000, 1, 1, 1, 1])
    unit = fit_space(raw, modalities).unit(raw, modalities)
    assert fit_space(scaled, modalities).unit(scaled, modalities) == pytest.approx(unit, abs=1e-4)


def test_new_images_are_placed_in_the_frame_of_the_pool(vectors):
    raw, modalities = vectors
    space = fit_space(raw, modalities)
    alone = space.unit(raw[25:26], ["ct"])
    assert alone == pytest.approx(space.unit(raw, modalities)[25:26], abs=1e-6)


def test_an_image_at_the_mean_has_no_direction_and_no_error(vectors):
    raw, modalities = vectors
    space = fit_space(raw, modalities)
    assert np.isfinite(space.unit(space.means["ct"][None], ["ct"])).all()


def test_a_feature_that_never_changes_has_no_say():
    raw = np.float32([[1, 5], [2, 5], [4, 5]])
    unit = fit_space(raw, ["mri"] * 3).unit(raw, ["mri"] * 3)
    assert np.isfinite(unit).all()
    assert unit[:, 1].tolist() == [0, 0, 0]
