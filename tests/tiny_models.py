"""Tiny random checkpoints of every model family's real class, in folders like those of the hub.

`build` writes config, safetensors weights, tokenizer, processor files and chat template; the files
are loaded by the same classes that load the real model, so what differs between families (image
tokens, tensors, positions, masks) differs here too. The chat templates are short forms of the
families' own: same turn markers, same place of the image.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

from medq_engine import nano

# Weights far enough from zero that a wrong position, mask or image changes the output.
SPREAD = {"initializer_range": 0.3}
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    **SPREAD,
}
TEXT = {
    **SIZES,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 2048,
}
PATCH = 14
SIGLIP = {
    "model_type": "siglip_vision_model",
    **SIZES,
    "image_size": 2 * PATCH,
    "patch_size": PATCH,
    "vision_use_head": False,
}
QWEN_VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "depth": 2,
    "num_heads": 2,
    "out_hidden_size": 32,
    **SPREAD,
}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
ROWS_AND_COLUMNS = tuple(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2))


def chat(
    user: str, image: str, assistant: str, end: str, start: str = "", before_answer: str = ""
) -> str:
    """A chat template: `start`, then turns of `user` or `assistant`, their content and `end`.

    `before_answer` stands between the assistant's mark and its words, not in the mark alone.
    """
    return (
        f"{start}{{% for message in messages %}}"
        f"{{% if message['role'] == 'user' %}}{user}"
        f"{{% else %}}{assistant}{before_answer}{{% endif %}}"
        "{% for part in message['content'] %}"
        f"{{% if part['type'] == 'image' %}}{image}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}"
        f"{{% endfor %}}{end}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{assistant}{{% endif %}}"
    )


def chat_ml(image: str) -> str:
    """The turns of Qwen and InternVL."""
    return chat("<|im_start|>user\n", image, "<|im_start|>assistant\n", end="<|im_end|>\n")


@dataclass(frozen=True)
class Tiny:
    """What a family's checkpoint holds beside weights.

    Attributes:
        config: Model config; a string that is a token stands for the token's id.
        processor: `processor_config.json`.
        image_processor: `preprocessor_config.json`.
        template: Chat template, or None where the real checkpoints have none.
        special: Special tokens without a name.
        named: Special tokens that the processor asks the tokenizer for by name.
        bos, eos, pad: The tokens of these names.
        turn_end: What ends an answer where it is not `eos`; generation stops at either.
        adds_bos: The tokenizer puts `bos` before every text.
    """

    config: Mapping[str, object]
    processor: Mapping[str, object]
    image_processor: Mapping[str, object]
    template: str | None
    special: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    bos: str = "<s>"
    eos: str = "</s>"
    pad: str = "<pad>"
    turn_end: str = ""
    adds_bos: bool = False


def idefics(name: str) -> Tiny:
    """Idefics3 and SmolVLM: square tiles and the whole image, one token each."""
    return Tiny(
        config={
            "image_token_id": "<image>",
            "scale_factor": 2,
            "tie_word_embeddings": False,
            "vision_config": {**SIZES, "image_size": 2 * PATCH, "patch_size": PATCH},
            "text_config": {"model_type": "llama", **TEXT},
        },
        processor={"processor_class": f"{name}Processor", "image_seq_len": 1},
        image_processor={
            "image_processor_type": f"{name}ImageProcessor",
            "do_image_splitting": True,
            "size": {"longest_edge": 4 * PATCH},
            "max_image_size": {"longest_edge": 2 * PATCH},
        },
        template=chat(
            "User:",
            "<image>",
            "Assistant:",
            end="<end_of_utterance>\n",
            start="<|im_start|>",
            before_answer=" ",
        ),
        special=("<fake_token_around_image>", "<image>", "<global-img>", *ROWS_AND_COLUMNS),
        bos="<|im_start|>",
        eos="<end_of_utterance>",
    )


def qwen(vision: Mapping[str, object], text: Mapping[str, object], name: str) -> Tiny:
    """Qwen-VL: as many tokens as the image's own shape asks for, positions in three axes."""
    side = 2 * int(str(vision["patch_size"]))
    return Tiny(
        config={
            "image_token_id": "<|image_pad|>",
            "video_token_id": "<|video_pad|>",
            "vision_start_token_id": "<|vision_start|>",
            "vision_end_token_id": "<|vision_end|>",
            "tie_word_embeddings": False,
            "vision_config": {**QWEN_VISION, **vision},
            "text_config": {**TEXT, "rope_parameters": MROPE, **text},
        },
        processor={"processor_class": name},
        image_processor={
            "image_processor_type": "Qwen2VLImageProcessorFast",
            "patch_size": vision["patch_size"],
            "size": {"shortest_edge": side**2, "longest_edge": 4 * side**2},
        },
        template=chat_ml("<|vision_start|><|image_pad|><|vision_end|>"),
        special=(
            "<|im_start|>",
            "<|vision_start|>",
            "<|vision_end|>",
            "<|image_pad|>",
            "<|video_pad|>",
        ),
        eos="<|im_end|>",
        pad="<|endoftext|>",
    )


TINY: dict[str, Tiny] = {
    "idefics3": idefics("Idefics3"),
    "smolvlm": idefics("SmolVLM"),
    "llava": Tiny(
        config={
            "image_token_index": "<image>",
            "image_seq_length": 4,
            "tie_word_embeddings": False,
            "vision_config": {
                "model_type": "clip_vision_model",
                **SIZES,
                "image_size": 2 * PATCH,
                "patch_size": PATCH,
            },
            "text_config": {"model_type": "llama", **TEXT},
        },
        processor={
            "processor_class": "LlavaProcessor",
            "patch_size": PATCH,
            "num_additional_image_tokens": 1,
            "vision_feature_select_strategy": "default",
        },
        image_processor={
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 2 * PATCH},
            "crop_size": {"height": 2 * PATCH, "width": 2 * PATCH},
        },
        # The real template, too, ends an answer with a space and no end-of-turn token.
        template=chat("USER: ", "<image>\n", "ASSISTANT:", end=" ", before_answer=" "),
        special=("<image>",),
        adds_bos=True,
    ),
    "llava_onevision": Tiny(
        config={
            "image_token_index": "<image>",
            "video_token_index": "<video>",
            "image_grid_pinpoints": [[28, 28], [28, 56], [56, 28], [56, 56]],
            "vision_feature_select_strategy": "full",
            "vision_feature_layer": -1,
            "tie_word_embeddings": False,
            "vision_config": SIGLIP,
            "text_config": {"model_type": "qwen2", **TEXT},
        },
        processor={
            "processor_class": "LlavaOnevisionProcessor",
            "num_image_tokens": 4,
            "vision_feature_select_strategy": "full",
        },
        image_processor={
            "image_processor_type": "LlavaOnevisionImageProcessor",
            "size": {"height": 2 * PATCH, "width": 2 * PATCH},
            "image_grid_pinpoints": [[28, 28], [28, 56], [56, 28], [56, 56]],
        },
        template=chat(
            "<|im_start|>user ", "<image>\n", "<|im_start|>assistant\n", end="<|im_end|>"
        ),
        special=("<|im_start|>", "<image>", "<video>"),
        eos="<|im_end|>",
        pad="<|endoftext|>",
    ),
    "qwen2_5_vl": qwen(
        {"patch_size": PATCH, "window_size": 2 * PATCH, "fullatt_block_indexes": [1]},
        {"model_type": "qwen2_5_vl_text"},
        "Qwen2_5_VLProcessor",
    ),
    "qwen3_vl": qwen(
        {"patch_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]},
        {"model_type": "qwen3_vl_text"},
        "Qwen3VLProcessor",
    ),
    "internvl": Tiny(
        config={
            "image_token_id": "<IMG_CONTEXT>",
            "image_seq_length": 4,
            "downsample_ratio": 0.5,
            "tie_word_embeddings": False,
            "vision_config": {
                **SIZES,
                "image_size": [4 * PATCH, 4 * PATCH],
                "patch_size": [PATCH, PATCH],
            },
            "text_config": {"model_type": "qwen2", **TEXT},
        },
        processor={"processor_class": "InternVLProcessor", "image_seq_length": 4},
        image_processor={
            "image_processor_type": "GotOcr2ImageProcessorFast",
            "size": {"height": 4 * PATCH, "width": 4 * PATCH},
            "crop_to_patches": True,
            "max_patches": 2,
        },
        template=chat_ml("<IMG_CONTEXT>\n"),
        special=("<|im_start|>",),
        named={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        eos="<|im_end|>",
        pad="<|endoftext|>",
    ),
    "paligemma": Tiny(
        config={
            "image_token_index": "<image>",
            "projection_dim": 32,
            "vision_config": {**SIGLIP, "projection_dim": 32},
            "text_config": {"model_type": "gemma", **TEXT, "num_image_tokens": 4},
        },
        processor={"processor_class": "PaliGemmaProcessor"},
        image_processor={
            "image_processor_type": "SiglipImageProcessor",
            "size": {"height": 2 * PATCH, "width": 2 * PATCH},
            "image_seq_length": 4,
        },
        template=None,
        special=("<image>",),
        bos="<bos>",
        eos="<eos>",
    ),
    "gemma3": Tiny(
        config={
            "image_token_index": "<image_soft_token>",
            "boi_token_index": "<start_of_image>",
            "eoi_token_index": "<end_of_image>",
            "mm_tokens_per_image": 4,
            **SPREAD,
            "vision_config": {**SIGLIP, "image_size": 4 * PATCH},
            "text_config": {
                "model_type": "gemma3_text",
                **TEXT,
                "layer_types": ["sliding_attention", "full_attention"],
                "sliding_window": 512,
                "query_pre_attn_scalar": 16,
            },
        },
        processor={"processor_class": "Gemma3Processor", "image_seq_length": 4},
        image_processor={
            "image_processor_type": "Gemma3ImageProcessor",
            "size": {"height": 4 * PATCH, "width": 4 * PATCH},
        },
        template=chat(
            "<start_of_turn>user\n",
            "<start_of_image>",
            "<start_of_turn>model\n",
            end="<end_of_turn>\n",
            start="<bos>",
        ),
        special=("<start_of_turn>", "<end_of_turn>"),
        named={
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
        },
        bos="<bos>",
        eos="<eos>",
        turn_end="<end_of_turn>",
        adds_bos=True,
    ),
}


@cache
def merges() -> Tokenizer:
    """A small byte-level BPE of the closed language, without special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(nano.corpus(), trainer)
    return tokenizer


def tokenizer_of(tiny: Tiny) -> PreTrainedTokenizerFast:
    """The closed language's tokenizer with a family's special tokens."""
    tokenizer = Tokenizer.from_str(merges().to_str())
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([tiny.pad, tiny.bos, tiny.eos, *tiny.special])
    if tiny.adds_bos:
        bos = (tiny.bos, tokenizer.token_to_id(tiny.bos))
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{tiny.bos} $A", special_tokens=[bos]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=tiny.pad,
        bos_token=tiny.bos,
        eos_token=tiny.eos,
        extra_special_tokens=dict(tiny.named),
    )


def build(family_name: str, folder: Path) -> Path:
    """Write the family's tiny checkpoint into `folder`, the same every time, and return it."""
    tiny = TINY[family_name]
    tokenizer = tokenizer_of(tiny)
    ids = tokenizer.get_vocab()
    config = {
        name: ids.get(value, value) if isinstance(value, str) else value
        for name, value in tiny.config.items()
    }
    config["text_config"] = {
        **config["text_config"],
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(family_name, **config))
    with torch.no_grad():
        for parameter in model.parameters():
            # Gemma3's connector begins at zero, which would make every image look the same.
            if parameter.dim() > 1 and not parameter.any():
                parameter.normal_(std=SPREAD["initializer_range"])
    stops = [tokenizer.eos_token_id, *([ids[tiny.turn_end]] if tiny.turn_end else [])]
    model.generation_config.eos_token_id = stops if len(stops) > 1 else stops[0]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name, content in (
        ("preprocessor_config.json", tiny.image_processor),
        ("processor_config.json", tiny.processor),
    ):
        (folder / name).write_text(json.dumps(dict(content), indent=2), encoding="utf-8")
    if tiny.template is not None:
        (folder / "chat_template.jinja").write_text(tiny.template, encoding="utf-8")
    return folder
