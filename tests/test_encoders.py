import numpy as np
import pytest

from medq_engine.encoders import EncoderError, encode, fit_space
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
    again = fit_space(scaled, modalities).unit(scaled, modalities)
    assert again @ again.T == pytest.approx(unit @ unit.T, abs=1e-4)


def test_new_images_are_placed_in_the_frame_of_the_pool(vectors):
    raw, modalities = vectors
    space = fit_space(raw, modalities)
    alone = space.unit(raw[25:26], ["ct"])
    assert alone == pytest.approx(space.unit(raw, modalities)[25:26], abs=1e-6)


def test_an_image_at_the_mean_has_no_direction_and_no_error(vectors):
    raw, modalities = vectors
    unit = fit_space(raw, modalities).unit(raw[20:].mean(0, keepdims=True), ["ct"])
    assert np.isfinite(unit).all()


def test_a_feature_that_never_changes_has_no_say():
    raw = np.float32([[1, 5], [2, 5], [4, 5]])
    unit = fit_space(raw, ["mri"] * 3).unit(np.float32([[1, 5], [1, 900]]), ["mri"] * 2)
    assert np.isfinite(unit).all()
    assert unit[0].tolist() == unit[1].tolist()


def test_a_constant_that_single_precision_cannot_hold_has_no_say():
    rng = np.random.default_rng(3)
    raw = np.full((3000, 2), np.log(1e-3), np.float32)
    raw[:, 0] = rng.normal(size=3000)
    frame = fit_space(raw, ["ct"] * 3000).frames["ct"]
    assert (frame.whitened(raw)[:, 1] == 0).all()


def test_a_modality_of_one_image_has_no_direction(vectors):
    raw, _ = vectors
    assert (fit_space(raw[:1], ["mri"]).unit(raw[:1], ["mri"]) == 0).all()


def test_a_rare_direction_counts_more_than_what_always_varies():
    """Ten features that say the same about who was imaged, two that show the fault."""
    rng = np.random.default_rng(1)
    anatomy = rng.normal(size=(300, 1))
    pool = rng.normal(size=(300, 12)) * 0.3
    pool[:, :10] += anatomy
    pool[:12, 10:] += 1.5
    query = np.zeros((1, 12))
    query[0, :10], query[0, 10:] = 2.0, 1.5

    def hits(shrinkage: float) -> int:
        space = fit_space(pool, ["ct"] * 300, shrinkage)
        cosines = (space.unit(pool, ["ct"] * 300) @ space.unit(query, ["ct"]).T)[:, 0]
        return int((np.argsort(-cosines)[:12] < 12).sum())

    assert hits(0.3) >= 10
    assert hits(1.0) <= 6


def test_what_stands_out_is_not_taken_for_background():
    """A fault of one image in twenty: its own direction would be whitened away."""
    rng = np.random.default_rng(2)
    pool = rng.normal(size=(300, 10))
    pool[:15, 0] += 8
    usual, all_images = (
        fit_space(pool, ["ct"] * 300, usual=share).frames["ct"].whitened(pool)[:15, 0].mean()
        for share in (0.7, 1.0)
    )
    assert usual > 1.3 * all_images


def test_one_wild_value_does_not_decide(vectors):
    raw, modalities = vectors
    space = fit_space(raw, modalities, 1.0)
    wild = raw[:2].copy()
    wild[:, 5] = 1e6
    usual = space.unit(raw[:2], modalities[:2])
    assert abs(space.unit(wild, modalities[:2])[0, 5]) < 0.999
    assert np.linalg.norm(usual, axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_a_modality_that_the_pool_has_not_is_an_error_that_says_so(vectors):
    raw, modalities = vectors
    with pytest.raises(EncoderError, match=r"no image of modality 'fundus'.*data/pool"):
        fit_space(raw, modalities).unit(raw[:1], ["fundus"])
