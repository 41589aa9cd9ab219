import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medq_engine import nano
from medq_engine.adapter import attach, resume, save, trainable
from medq_engine.language import question
from medq_engine.models.families import FAMILIES, FamilyError
from medq_engine.models.mllm import load
from medq_engine.models.scoring import score
from medq_engine.questions import Query
from medq_engine.tables import folder_md5
from tests.tiny_models import build

QUERIES = [Query((0,), *question("what", "mri")), Query((1,), *question("how", "mri"))]
BOTH = ("vision", "language")


def fresh(build_nano, seed: int = 1):
    return attach(build_nano(0), 4, 4, BOTH, ["connector"], seed)


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
    assert all("lora_" in n or "connector.modules_to_save" in n for n in names)
    # One text and one vision layer, 40 wide; four attention layers in each; in vision two layers
    # between 40 and 160, in text three between 40 and 100; rank 4.
    lora = 4 * (2 * 4 * (40 + 40) + 2 * (40 + 160) + 3 * (40 + 100))
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
    save(attach(load(tmp_path / "base"), 2, 2, BOTH, [], seed=1), tmp_path / "adapter")
    text = (tmp_path / "adapter" / "adapter_config.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["base_model_name_or_path"] is None


def test_a_saved_adapter_answers_as_it_did_before(build_nano, noise_images, tmp_path):
    nano.save(build_nano(0), tmp_path / "base")
    mllm = attach(load(tmp_path / "base"), 4, 4, BOTH, ["connector"], seed=1)
    save(changed(mllm), tmp_path / "adapter")
    loaded = load(tmp_path / "base", adapter=tmp_path / "adapter")
    expected = probabilities(mllm, noise_images)
    assert probabilities(loaded, noise_images) == pytest.approx(expected, abs=1e-6)


def test_trained_words_are_read_and_written_with_one_matrix_and_come_back(
    build_nano, noise_images, tmp_path
):
    nano.save(build_nano(0), tmp_path / "base")
    mllm = changed(attach(load(tmp_path / "base"), 4, 4, BOTH, ["words"], seed=1))
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


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_an_adapter_of_every_family_answers_as_it_did_before(noise_images, tmp_path, family):
    base = build(family, tmp_path / "base")
    parts = ["connector", "patch_embedding", "words"]
    mllm = changed(attach(load(base), 2, 2, BOTH, parts, seed=1))
    expected = probabilities(mllm, noise_images)
    save(mllm, tmp_path / "adapter")
    found = probabilities(load(base, tmp_path / "adapter"), noise_images)
    assert found == pytest.approx(expected, abs=1e-5)
    assert np.abs(found - probabilities(load(base), noise_images)).max() > 1e-4


def test_weights_that_were_gathered_elsewhere_are_the_ones_that_are_saved(build_nano, tmp_path):
    mllm = fresh(build_nano)
    gathered = {name: tensor + 1 for name, tensor in mllm.model.state_dict().items()}
    save(mllm, tmp_path / "own")
    save(mllm, tmp_path / "gathered", gathered)
    own, given = (
        load_file(tmp_path / n / "adapter_model.safetensors") for n in ("own", "gathered")
    )
    assert own.keys() == given.keys()
    assert all(torch.equal(given[name], own[name] + 1) for name in own)


def test_gradient_checkpointing_is_switched_on_only_where_asked(build_nano):
    checkpointed = attach(build_nano(0), 2, 2, BOTH, [], 1, gradient_checkpointing=True)
    assert checkpointed.base.is_gradient_checkpointing
    assert not fresh(build_nano).base.is_gradient_checkpointing


def test_the_way_of_answering_is_kept(build_nano):
    mllm = build_nano(0)
    mllm.answer_format = "letter"
    assert attach(mllm, 2, 2, BOTH, [], seed=1).answer_format == "letter"


def test_a_part_that_takes_no_lora_is_refused(build_nano):
    with pytest.raises(FamilyError, match=r"finetune\.adapt: connector takes no LoRA"):
        attach(build_nano(0), 2, 2, ["connector"], [], seed=1)


def test_a_saved_adapter_is_trained_on_from_where_it_was(build_nano, noise_images, tmp_path):
    nano.save(build_nano(0), tmp_path / "base")
    mllm = changed(attach(load(tmp_path / "base"), 4, 4, BOTH, ["connector"], seed=1))
    save(mllm, tmp_path / "adapter")
    again = resume(load(tmp_path / "base", tmp_path / "adapter"))
    assert trainable(again) == trainable(mllm)
    assert probabilities(again, noise_images) == pytest.approx(probabilities(mllm, noise_images))
