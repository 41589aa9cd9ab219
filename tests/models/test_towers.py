from collections.abc import Callable, Sequence

import pytest
import torch
from PIL import Image

from medq_engine.adapter import attach
from medq_engine.language import Turn
from medq_engine.models import towers
from medq_engine.models.families import FAMILIES
from medq_engine.models.mllm import Mllm, load, show, stack
from medq_engine.training import AnswerLoss, Sample, encode
from tests.tiny_models import build

TURNS = (Turn("Is it?", ("Yes", "No"), "Yes"), Turn("How?", ("Mild", "Severe"), "Severe"))


@pytest.fixture
def pictures(noise_images) -> list[Image.Image]:
    """Two images of different shape."""
    return [noise_images[0], noise_images[1].resize((96, 48))]


@pytest.fixture(scope="module")
def with_lora(tmp_path_factory) -> Callable[[str, bool], Mllm]:
    """A family's tiny model with LoRA on its language model, in training."""

    def made(family: str, checkpointing: bool) -> Mllm:
        folder = build(family, tmp_path_factory.mktemp(family))
        mllm = attach(load(folder), 2, 2, ["language"], [], 1, checkpointing)
        mllm.model.train()
        return mllm

    return made


def calls_of(mllm: Mllm) -> list[int]:
    """Grows by one whenever the tower is run."""
    calls: list[int] = []
    module = next(m for m in towers.tower_of(mllm).modules() if isinstance(m, torch.nn.Linear))
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def learnt(mllm: Mllm, images: Sequence[Image.Image], frozen_tower: bool) -> list[torch.Tensor]:
    """Loss and gradients of one pass."""
    samples = [encode(mllm, Sample(image, TURNS), frozen_tower) for image in images]
    loss = AnswerLoss(mllm)(samples)
    trained = [p for p in mllm.model.parameters() if p.requires_grad]
    return [loss.detach(), *torch.autograd.grad(loss, trained)]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_training_on_what_was_kept_is_training_on_the_images(
    with_lora, pictures, family, checkpointing
):
    mllm = with_lora(family, checkpointing)
    assert towers.frozen(mllm)
    expected = learnt(mllm, pictures, frozen_tower=False)
    found = learnt(mllm, pictures, frozen_tower=True)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(found, expected, strict=True))


def test_a_tower_whose_output_was_kept_does_not_run(with_lora, pictures):
    mllm = with_lora("idefics3", False)
    kept = [encode(mllm, Sample(image, TURNS), frozen_tower=True) for image in pictures]
    calls = calls_of(mllm)
    AnswerLoss(mllm)(kept).backward()
    assert calls == []


def test_the_tower_is_itself_again_behind_a_replay_and_an_error(nano_model, noise_images):
    first, second = ([show(nano_model.processor, [image])] for image in noise_images[:2])

    def features(shown) -> torch.Tensor:
        with torch.no_grad():
            found = nano_model.base.model.get_image_features(**stack(shown), return_dict=True)
        return torch.cat(list(found.pooler_output))

    own, other = features(first), features(second)
    kept = [towers.look(nano_model, one) for one in first]
    with towers.replayed(nano_model, kept):
        assert torch.equal(features(second), own)
    assert torch.equal(features(second), other)
    with pytest.raises(KeyError), towers.replayed(nano_model, kept):
        raise KeyError
    assert torch.equal(features(second), other)


@pytest.mark.parametrize(
    ("adapt", "whole", "frozen"),
    [
        (["language"], ["connector", "words"], True),
        (["vision", "language"], [], False),
        (["language"], ["patch_embedding"], False),
    ],
)
def test_a_tower_is_frozen_when_no_part_of_it_is_trained(build_nano, adapt, whole, frozen):
    assert towers.frozen(attach(build_nano(0), 2, 2, adapt, whole, seed=1)) == frozen
    assert not towers.frozen(build_nano(0))


def test_the_connector_of_qwen_is_a_part_of_its_tower(tmp_path):
    mllm = load(build("qwen3_vl", tmp_path))
    assert not towers.frozen(attach(mllm, 2, 2, ["language"], ["connector"], seed=1))


def test_the_size_of_an_output_is_that_of_its_tensors(nano_model, noise_images):
    seen = towers.look(nano_model, show(nano_model.processor, noise_images[:1]))
    # 48 px in patches of 12 are 16 patches, 40 wide, in single precision.
    assert towers.size(seen) == 16 * 40 * 4
    assert towers.size(None) == 0
