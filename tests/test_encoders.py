import numpy as np
import pytest

from medq_engine.encoders import encode, fit_space, vision_tower
from medq_engine.image_statistics import image_statistics
from medq_engine.models.mllm import ModelError


def test_features_do_not_depend_on_the_batch(nano_model, noise_images):
    together = vision_tower(nano_model, noise_images, 3)
    assert together.shape == (4, 4 * 40)
    assert together.dtype == np.float32
    alone = np.concatenate([vision_tower(nano_model, [image], 1) for image in noise_images])
    assert together == pytest.approx(alone, abs=1e-4)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_the_spread_of_a_flat_image_is_smaller_than_that_of_a_busy_one(nano_model, noise_images):
    flat = noise_images[0].resize((1, 1)).resize((48, 48))
    middle = slice(40, 80)  # the spread at the middle layer
    quiet, busy = vision_tower(nano_model, [flat, noise_images[0]], 2)[:, middle]
    assert quiet.mean() < busy.mean()


@pytest.mark.parametrize("family", ["llava", "paligemma", "gemma3", "internvl"])
def test_the_tower_of_a_family_that_looks_at_one_piece_gives_features(
    tiny_mllm, noise_images, family
):
    images = [image.resize((56, 56)) for image in noise_images]
    together = vision_tower(tiny_mllm(family), images, 3)
    assert together.shape == (4, 4 * 32)
    alone = np.concatenate([vision_tower(tiny_mllm(family), [image], 1) for image in images])
    assert together == pytest.approx(alone, abs=1e-4)
    assert np.abs(together[0] - together[1]).max() > 1e-3


@pytest.mark.parametrize(
    "family", ["qwen2_5_vl", "qwen3_vl", "idefics3", "smolvlm", "llava_onevision"]
)
def test_a_tower_that_cuts_an_image_up_is_refused_with_what_to_set(tiny_mllm, noise_images, family):
    wide = [image.resize((112, 56)) for image in noise_images[:2]]
    with pytest.raises(
        ModelError, match=f"of {family} does not look.*embeddings.encoder to image-"
    ):
        vision_tower(tiny_mllm(family), wide, 2)


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
