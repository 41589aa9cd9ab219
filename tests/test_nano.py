import pytest
import torch
from transformers import AutoProcessor

from medq_engine import nano
from medq_engine.descriptions import describe
from medq_engine.language import labels
from medq_engine.models.generation import generate
from medq_engine.models.mllm import load, show
from medq_engine.phantom_lessons import Phantom, phantom_at
from medq_engine.training import Schedule
from medq_engine.vocabulary import MODALITIES

TAUGHT = ("aliasing", "blur", "compression")
SCHEDULE = Schedule(
    steps=2, batch=4, images_per_pass=4, turns=2, learning_rate=1e-3, weight_decay=0.01, seed=1
)


@pytest.fixture(scope="module")
def teaching() -> list[Phantom]:
    return [phantom_at(index, 48, TAUGHT, seed="1") for index in range(10)]


def test_the_model_is_built_as_small_as_asked(nano_model):
    config = nano_model.base.config
    assert config.vision_config.image_size == 48
    assert config.text_config.hidden_size == config.vision_config.hidden_size == 40
    assert len(nano_model.base.model.text_model.layers) == 1
    assert sum(p.numel() for p in nano_model.base.parameters()) < 150_000


def test_the_tokenizer_is_the_same_every_time():
    first, second = (nano.processor(48).tokenizer.get_vocab() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_tokenizer_gives_back_every_word_of_the_language(nano_model, modality):
    tokenizer = nano_model.processor.tokenizer
    for text in (*labels(modality), describe(modality, []), "é unseen 字"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_saved_processor_is_loaded_as_it_was(build_nano, noise_images, tmp_path):
    mllm = build_nano(0)
    nano.save(mllm, tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    expected, found = (show(p, noise_images[:1]) for p in (mllm.processor, loaded))
    assert found.ids == expected.ids
    assert found.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(found.tensors[n], expected.tensors[n]) for n in found.tensors)


def test_weights_are_saved_in_half_precision_and_load_in_single(build_nano, tmp_path):
    expected = {name: value.half() for name, value in build_nano(4).model.state_dict().items()}
    nano.save(build_nano(4), tmp_path)
    parameters = sum(value.numel() for value in build_nano(4).model.parameters())
    assert (tmp_path / "model.safetensors").stat().st_size < 2.5 * parameters
    loaded = load(tmp_path).model.state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name].float()) for name in loaded)


def test_a_loaded_model_stops_at_the_end_of_its_turn(build_nano, noise_images, tmp_path):
    nano.save(build_nano(0), tmp_path)
    mllm = load(tmp_path)
    eos = mllm.processor.tokenizer.eos_token_id
    assert mllm.base.generation_config.eos_token_id == eos
    # The output layer is made to want nothing but the end of the turn.
    with torch.no_grad():
        mllm.base.lm_head.weight.zero_()
    mllm.base.lm_head.register_forward_hook(
        lambda module, args, out: out.index_fill(-1, torch.tensor([eos]), 50.0)
    )
    (((text, _),),) = generate(mllm, noise_images[:1], "Describe.", 5)
    assert text == ""


def test_the_vision_step_trains_the_tower_and_nothing_else(build_nano, teaching):
    mllm = build_nano(0)
    before = {name: value.clone() for name, value in mllm.model.state_dict().items()}
    nano.pretrain_vision(mllm, teaching, SCHEDULE)
    after = mllm.model.state_dict()
    assert after.keys() == before.keys()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed
    assert all(".vision_model." in name for name in changed)


def test_the_tower_keeps_what_it_has_learnt_while_the_words_are_learnt(
    build_nano, teaching, tmp_path, monkeypatch
):
    mllm = build_nano(0)
    before = {n: p.detach().clone() for n, p in mllm.model.named_parameters()}
    monkeypatch.setattr(nano, "pretrain_vision", lambda *_: None)
    nano.teach(mllm, teaching, SCHEDULE, SCHEDULE, tmp_path)
    changed = {n for n, p in mllm.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed
    assert not any(".vision_model." in name for name in changed)
    assert all(p.requires_grad for p in mllm.model.parameters())


def test_a_taught_model_is_the_same_every_time(build_nano, teaching, tmp_path):
    taught = []
    for name in ("a", "b"):
        mllm = build_nano(0)
        torch.manual_seed(1)
        nano.teach(mllm, teaching, SCHEDULE, SCHEDULE, tmp_path / name)
        taught.append(mllm.model.state_dict())
    first, second = taught
    assert all(torch.equal(first[name], second[name]) for name in first)
