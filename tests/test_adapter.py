import json

import numpy as np
import pytest
import torch

from medq_engine import nano
from medq_engine.adapter import AdapterError, attach, folder_md5, save, trainable
from medq_engine.language import question
from medq_engine.mllm import Query, load, score

QUERIES = [Query(0, *question("what", "mri")), Query(1, *question("how", "mri"))]
TARGETS = ".*(q_proj|fc1)"


def fresh(build_nano, seed: int = 1):
    return attach(build_nano(0), 4, 4, TARGETS, ["modality_projection"], seed)


def changed(mllm):
    """The adapter as training would leave it: no longer the identity."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in mllm.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return mllm


def probabilities(mllm, images) -> np.ndarray:
    mllm.model.eval()
    return np.concatenate([found.probabilities for found in score(mllm, images, QUERIES)])


def test_a_fresh_adapter_is_the_identity(build_nano, nano_model, noise_images):
    found = probabilities(fresh(build_nano), noise_images)
    assert found == pytest.approx(probabilities(nano_model, noise_images), abs=1e-7)


def test_a_changed_adapter_is_in_force(build_nano, nano_model, noise_images):
    found = probabilities(changed(fresh(build_nano)), noise_images)
    assert np.abs(found - probabilities(nano_model, noise_images)).max() > 1e-4


def test_only_lora_and_the_modules_to_save_are_trained(build_nano):
    mllm = fresh(build_nano)
    names = [name for name, p in mllm.model.named_parameters() if p.requires_grad]
    assert {"lora_A", "lora_B"} <= {part for name in names for part in name.split(".")}
    assert all("lora_" in n or "modality_projection.modules_to_save" in n for n in names)
    # One text and one vision layer: q_proj in both, fc1 in vision; 40 wide, fc1 160; rank 4.
    lora = 4 * (40 + 40) * 2 + 4 * (40 + 160)
    projection = 40 * 2 * 2 * 40
    assert trainable(mllm) == lora + projection


def test_equal_weights_are_saved_in_equal_bytes(build_nano, tmp_path):
    for folder in ("a", "b"):
        save(changed(fresh(build_nano)), tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert folder_md5(tmp_path / "a") == folder_md5(tmp_path / "b")


def test_another_seed_gives_another_adapter(build_nano, tmp_path):
    for seed in (1, 2):
        save(fresh(build_nano, seed), tmp_path / str(seed))
    assert folder_md5(tmp_path / "1") != folder_md5(tmp_path / "2")


def test_the_config_does_not_name_the_checkout(build_nano, tmp_path):
    nano.save(build_nano(0), tmp_path / "base")
    save(attach(load(tmp_path / "base"), 2, 2, TARGETS, [], seed=1), tmp_path / "adapter")
    text = (tmp_path / "adapter" / "adapter_config.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["base_model_name_or_path"] is None


def test_a_saved_adapter_answers_as_it_did_before(build_nano, noise_images, tmp_path):
    nano.save(build_nano(0), tmp_path / "base")
    mllm = attach(load(tmp_path / "base"), 4, 4, TARGETS, ["modality_projection"], seed=1)
    save(changed(mllm), tmp_path / "adapter")
    loaded = load(tmp_path / "base", adapter=tmp_path / "adapter")
    expected = probabilities(mllm, noise_images)
    assert probabilities(loaded, noise_images) == pytest.approx(expected, abs=1e-6)


def test_trained_words_are_read_and_written_with_one_matrix_and_come_back(
    build_nano, noise_images, tmp_path
):
    nano.save(build_nano(0), tmp_path / "base")
    mllm = changed(attach(load(tmp_path / "base"), 4, 4, TARGETS, ["embed_tokens"], seed=1))
    trained = [n for n, p in mllm.model.named_parameters() if p.requires_grad and "lora" not in n]
    assert len(trained) == 1
    assert "embed_tokens" in trained[0]
    words_out = mllm.base.lm_head.modules_to_save["default"].weight
    assert torch.equal(
        mllm.base.get_input_embeddings().modules_to_save["default"].weight, words_out
    )
    save(mllm, tmp_path / "adapter")
    again = load(tmp_path / "base", tmp_path / "adapter")
    assert np.array_equal(probabilities(again, noise_images), probabilities(mllm, noise_images))


def test_a_folders_md5_changes_with_names_and_contents(tmp_path):
    for folder, name, data in [("a", "x", b"1"), ("b", "x", b"2"), ("c", "y", b"1")]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(data)
    assert len({folder_md5(tmp_path / folder) for folder in "abc"}) == 3


def test_an_empty_or_missing_folder_is_named(tmp_path):
    with pytest.raises(AdapterError, match="no adapter there"):
        folder_md5(tmp_path)
    with pytest.raises(AdapterError, match="nowhere: no adapter there"):
        folder_md5(tmp_path / "nowhere")
