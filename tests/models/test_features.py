import numpy as np
import pytest

from medq_engine.models.features import by_depth, vision_tower
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


def test_features_by_depth_hold_those_that_images_are_searched_by(nano_model, noise_images):
    depths = by_depth(nano_model, noise_images, 3)
    assert [depth.shape for depth in depths] == 2 * [(4, 2 * 40)]  # before and after its one layer
    both = vision_tower(nano_model, noise_images, 3)
    middle, last = depths[len(depths) // 2], depths[-1]
    assert both == pytest.approx(np.hstack([middle, last]), abs=1e-5)
