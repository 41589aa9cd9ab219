"""Estimates against what transformers builds, and against what torch really keeps."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    Idefics3Config,
    InternVLConfig,
    PretrainedConfig,
    Qwen2_5_VLConfig,
    Qwen3VLConfig,
)

from medq_engine import estimates, profiles
from medq_engine.config import Params, load_params
from medq_engine.profiles import Shape, Text, Vision

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "profiles"


def shape_of(name: str) -> Shape:
    return profiles.load(FOLDER, name).shape


def decoder(name: str) -> dict[str, object]:
    """A profile's text shape under transformers' names."""
    text = shape_of(name).text
    return {
        "num_hidden_layers": text.layers,
        "hidden_size": text.hidden,
        "num_attention_heads": text.heads,
        "num_key_value_heads": text.kv_heads,
        "intermediate_size": text.intermediate,
        "vocab_size": text.vocab,
    }


def tower(name: str) -> dict[str, object]:
    """A profile's vision shape under Idefics3's names."""
    vision = shape_of(name).vision
    return {
        "num_hidden_layers": vision.layers,
        "hidden_size": vision.hidden,
        "intermediate_size": vision.intermediate,
        "image_size": vision.image_size,
        "patch_size": vision.patch,
    }


def smolvlm(name: str, scale: int, heads: int) -> Idefics3Config:
    return Idefics3Config(
        scale_factor=scale,
        tie_word_embeddings=shape_of(name).text.tied,
        vision_config={**tower(name), "num_attention_heads": heads},
        text_config={"model_type": "llama", **decoder(name)},
    )


# Published sizes: what the hub counts in the safetensors files of these models.
REAL = {
    "smolvlm-256m": (lambda name: smolvlm(name, 4, 12), 256_484_928),
    "smolvlm-2.2b": (lambda name: smolvlm(name, 3, 16), 2_246_272_880),
    "internvl3-8b": (
        lambda name: InternVLConfig(
            tie_word_embeddings=False,
            vision_config={"attention_bias": True},
            text_config={"model_type": "qwen2", **decoder(name)},
        ),
        7_944_373_760,
    ),
    "qwen2.5-vl-7b": (
        lambda name: Qwen2_5_VLConfig(
            vision_config={"hidden_size": 1280}, text_config=decoder(name)
        ),
        8_292_166_656,
    ),
    "qwen3-vl-8b": (
        lambda name: Qwen3VLConfig(
            vision_config={"out_hidden_size": 4096}, text_config=decoder(name)
        ),
        8_767_123_696,
    ),
}


def on_meta(config: PretrainedConfig) -> torch.nn.Module:
    """A model of the real class without memory."""
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


@pytest.mark.parametrize("name", REAL)
def test_parameters_are_those_of_the_real_model(name):
    make, published = REAL[name]
    built = sum(p.numel() for p in on_meta(make(name)).parameters())
    estimated = sum(estimates.parameters(shape_of(name)).values())
    assert built == pytest.approx(published, rel=1e-3)
    assert estimated == pytest.approx(built, rel=2e-3)


def test_every_profile_is_compared_with_a_real_model():
    assert {*REAL, "nano"} == set(profiles.names(FOLDER))


def test_parameters_of_the_committed_nano_model_by_part():
    model = on_meta(AutoConfig.from_pretrained(ROOT / "models" / "base"))
    estimated = estimates.parameters(shape_of("nano"))
    inner = model.model
    embeddings = sum(p.numel() for p in inner.vision_model.embeddings.parameters())
    words = inner.text_model.embed_tokens.weight.numel()
    everything = sum(p.numel() for p in inner.vision_model.parameters())
    assert estimated["patch_embedding"] == pytest.approx(embeddings, rel=0.02)
    assert estimated["vision"] == pytest.approx(everything - embeddings, rel=0.02)
    assert estimated["connector"] == sum(p.numel() for p in inner.connector.parameters())
    assert estimated["words"] == words
    language = sum(p.numel() for p in inner.text_model.parameters()) - words
    assert estimated["language"] == pytest.approx(language, rel=0.02)


SMALL = Shape(
    text=Text(
        layers=6,
        hidden=256,
        heads=8,
        kv_heads=4,
        head_dim=32,
        intermediate=704,
        vocab=500,
        tied=True,
    ),
    vision=Vision(
        layers=4, hidden=192, intermediate=768, gated=False, patch=12, image_size=96, tiles=1
    ),
    connector=((768, 256),),
    image_tokens=16,
)
LINEAR = ".*(q_proj|k_proj|v_proj|out_proj|o_proj|fc1|fc2|gate_proj|up_proj|down_proj)"
WORDS = 60


@pytest.fixture(scope="module")
def small() -> Idefics3Config:
    """An Idefics3 of the shape SMALL."""
    text, vision = SMALL.text, SMALL.vision
    return Idefics3Config(
        image_token_id=4,
        tie_word_embeddings=True,
        vision_config={
            "num_hidden_layers": vision.layers,
            "hidden_size": vision.hidden,
            "intermediate_size": vision.intermediate,
            "image_size": vision.image_size,
            "patch_size": vision.patch,
            "num_attention_heads": 8,
        },
        text_config={
            "model_type": "llama",
            "num_hidden_layers": text.layers,
            "hidden_size": text.hidden,
            "num_attention_heads": text.heads,
            "num_key_value_heads": text.kv_heads,
            "intermediate_size": text.intermediate,
            "vocab_size": text.vocab,
            "pad_token_id": 0,
        },
    )


def kept_bytes(config: Idefics3Config, dtype: str) -> int:
    """What a forward pass of one image with LoRA everywhere keeps for the backward pass."""
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config).to(getattr(torch, dtype))
    model = get_peft_model(model, LoraConfig(r=8, target_modules=LINEAR)).train()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in weights:
            kept[address] = tensor  # held, so that no address is used twice
        return tensor

    ids = torch.full((1, SMALL.image_tokens + WORDS), 7)
    ids[:, : SMALL.image_tokens] = config.image_token_id
    pixels = torch.rand(1, 1, 3, 96, 96, dtype=getattr(torch, dtype))
    inner = model.base_model.model.model
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        inner(input_ids=ids, pixel_values=pixels, use_cache=False)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activations_are_what_torch_keeps(small, dtype):
    tokens, patches = SMALL.image_tokens + WORDS, SMALL.vision.patches
    language = SMALL.text.layers * estimates.layer_bytes(SMALL, "language", dtype)
    vision = SMALL.vision.layers * estimates.layer_bytes(SMALL, "vision", dtype)
    estimated = tokens * language + patches * vision
    assert kept_bytes(small, dtype) == pytest.approx(estimated, rel=0.06)


def test_lora_has_the_parameters_that_peft_makes(small):
    model = get_peft_model(on_meta(small), LoraConfig(r=8, target_modules=LINEAR))
    made = sum(p.numel() for p in model.parameters() if p.requires_grad)
    finetune = replace(params().finetune, rank=8, adapt=("vision", "language"), train_whole=())
    assert estimates.trained_parameters(SMALL, finetune) == made
    whole = replace(finetune, train_whole=("connector",))
    assert estimates.trained_parameters(SMALL, whole) == made + 768 * 256


def params() -> Params:
    return load_params(ROOT / "params.yaml")


def test_the_cache_is_two_numbers_a_layer_and_head_dimension(small):
    model = AutoModelForImageTextToText.from_config(small)
    with torch.inference_mode():
        out = model.model(input_ids=torch.full((1, 10), 7), use_cache=True)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in out.past_key_values.layers)
    assert 10 * estimates.cache_bytes(SMALL, "float32") == held


def test_four_bits_spare_most_of_the_weights():
    shape, model = shape_of("internvl3-8b"), params().model
    full = estimates.weight_bytes(shape, replace(model, dtype="bfloat16"))
    packed = estimates.weight_bytes(shape, replace(model, dtype="bfloat16", quantize="4bit"))
    assert full == pytest.approx(2 * 7.944e9, rel=1e-3)
    assert 5.5e9 < packed < 6.5e9


def test_memory_grows_with_the_batch_and_checkpointing_spares_it():
    shape = shape_of("internvl3-8b")
    model = replace(params().model, dtype="bfloat16")
    tuned = replace(params().finetune, adapt=("vision", "language"), train_whole=(), turns=1)
    dear = estimates.activation_bytes(shape, model, tuned)
    spared = estimates.activation_bytes(shape, model, replace(tuned, gradient_checkpointing=True))
    assert spared < dear / 5
    frozen = replace(tuned, adapt=("language",))
    assert estimates.activation_bytes(shape, model, frozen) < dear
    one, two = (
        estimates.finetune_bytes(shape, model, replace(tuned, batch=2, images_per_pass=n))
        for n in (1, 2)
    )
    assert two - one == dear
    # More images a pass than a step has are never there together.
    most = estimates.finetune_bytes(shape, model, replace(tuned, batch=2, images_per_pass=64))
    assert most == two


def test_arithmetic_follows_parameters_and_tokens():
    shape = shape_of("internvl3-8b")
    # By hand: a third of (0.30 G x 1024 patches + 6.5 G x 256 tokens), and 80 tokens of 6.5 G.
    assert estimates.item_flops(shape) == pytest.approx(2.36e12, rel=0.02)
    tuned = replace(params().finetune, adapt=("language",), train_whole=(), batch=1, turns=1)
    tokens, size = estimates.row_tokens(shape, 1), estimates.parameters(shape)
    forward = size["language"] * tokens
    tower = 2 * size["vision"] * shape.vision.patches
    assert estimates.step_flops(shape, tuned) == 4 * forward + tower
    whole = replace(tuned, train_whole=("language",))
    assert estimates.step_flops(shape, whole) == 6 * forward + tower
    again = replace(tuned, gradient_checkpointing=True)
    assert estimates.step_flops(shape, again) == 6 * forward + tower


def test_the_smallest_device_that_is_large_enough_is_taken():
    assert estimates.accelerator("cuda", 12).name == "L4 24 GB"
    assert estimates.accelerator("cuda", 25).name == "A100 80 GB"
    assert estimates.accelerator("cuda", 500).name == "A100 80 GB"
    assert estimates.accelerator("cpu", 4).kind == "cpu"


@pytest.mark.parametrize(
    ("value", "said"), [(0.2, "1 s"), (80, "80 s"), (600, "10 min"), (7200, "2.0 h")]
)
def test_durations_are_said_in_a_unit_that_fits(value, said):
    assert estimates.duration(value) == said
