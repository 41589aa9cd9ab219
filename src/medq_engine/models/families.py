"""What differs between families of multimodal LLMs, as data in one table.

A family is one class of `AutoModelForImageTextToText`, named by its `config.model_type`. Module
names, positions and masks are those of transformers 5.23; tests/models/test_families.py holds the
table against a small model of every class.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from medq_engine.errors import MedqError
from medq_engine.vocabulary import Part

# Parts with many linear layers, which take LoRA; the others are a few modules, trained whole.
ADAPTED: tuple[Part, ...] = ("vision", "language")


class FamilyError(MedqError):
    """A model is of no known family, or has no such part; the message names what there is."""


@dataclass(frozen=True)
class Family:
    """How one class of models is built and read.

    Attributes:
        name: `config.model_type`.
        parts: For each part, a regular expression that its modules' full names match (as in
            `named_modules` of the model without PEFT): the linear layers of `vision` and
            `language`, the whole modules of the others.
        tower: Path of the vision tower below `model.model`; it is called once for all images.
        bidirectional_prompt: A prompt's tokens attend to those behind them, so a key-value cache
            can be shared by answers to one prompt, never by prompts that begin alike.
        first_position: Position of a text's first token.
        rope_deltas: An image advances the position by less than its tokens; the difference of each
            row is in `model.model.rope_deltas` after its prompt has gone through.
        answer_type: What `token_type_ids` says of an answer's tokens (0 is the prompt's).
        template: Chat template in Jinja, for checkpoints that bring none.
    """

    name: str
    parts: Mapping[Part, str]
    tower: str
    bidirectional_prompt: bool = False
    first_position: int = 0
    rope_deltas: bool = False
    answer_type: int = 0
    template: str | None = None


def _parts(
    patches: str, vision: str, connector: str, language: str = r"model\.language_model"
) -> dict[Part, str]:
    """The patterns of a model with a Llama-like language model, which all of these have."""
    layer = r"layers\.\d+\.(?:self_attn\.[qkvo]_proj|mlp\.(?:gate|up|down)_proj)"
    return {
        "patch_embedding": patches,
        "vision": vision,
        "connector": connector,
        "language": rf"{language}\.{layer}",
        "words": rf"{language}\.embed_tokens|lm_head",
    }


# CLIP and SigLIP name their layers alike.
_CLIP_LAYER = r"encoder\.layers\.\d+\.(?:self_attn\.(?:[qkv]_proj|out_proj)|mlp\.fc[12])"
_IDEFICS = _parts(
    patches=r"model\.vision_model\.embeddings\.patch_embedding",
    vision=rf"model\.vision_model\.{_CLIP_LAYER}",
    connector=r"model\.connector",
    language=r"model\.text_model",
)
_LLAVA = _parts(
    patches=r"model\.vision_tower\.embeddings\.patch_embedding",
    vision=rf"model\.vision_tower\.{_CLIP_LAYER}",
    connector=r"model\.multi_modal_projector",
)

# The model card's prefix for questions in English. The processor is told to add nothing to it.
_PALIGEMMA_CHAT = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>"
    "{% elif message['role'] == 'user' %}{{ bos_token + 'answer en ' + part['text'] + '\\n' }}"
    "{% else %}{{ part['text'] + eos_token }}{% endif %}"
    "{% endfor %}{% endfor %}"
)

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family("idefics3", _IDEFICS, "vision_model"),
        Family("smolvlm", _IDEFICS, "vision_model"),
        Family("llava", _LLAVA, "vision_tower"),
        Family("llava_onevision", _LLAVA, "vision_tower"),
        Family("gemma3", _LLAVA, "vision_tower"),
        Family(
            "paligemma",
            _LLAVA,
            "vision_tower",
            bidirectional_prompt=True,
            first_position=1,
            answer_type=1,
            template=_PALIGEMMA_CHAT,
        ),
        Family(
            "internvl",
            _parts(
                patches=r"model\.vision_tower\.embeddings\.patch_embeddings\.projection",
                vision=r"model\.vision_tower\.encoder\.layer\.\d+\."
                r"(?:attention\.(?:[qkv]_proj|projection_layer)|mlp\.fc[12])",
                connector=r"model\.multi_modal_projector",
            ),
            "vision_tower",
        ),
        Family(
            "qwen2_5_vl",
            _parts(
                patches=r"model\.visual\.patch_embed\.proj",
                vision=r"model\.visual\.blocks\.\d+\."
                r"(?:attn\.(?:qkv|proj)|mlp\.(?:gate|up|down)_proj)",
                connector=r"model\.visual\.merger",
            ),
            "visual",
            rope_deltas=True,
        ),
        Family(
            "qwen3_vl",
            _parts(
                patches=r"model\.visual\.patch_embed\.proj",
                vision=r"model\.visual\.blocks\.\d+\.(?:attn\.(?:qkv|proj)|mlp\.linear_fc[12])",
                connector=r"model\.visual\.(?:merger|deepstack_merger_list\.\d+)",
            ),
            "visual",
            rope_deltas=True,
        ),
    )
}


def named(model_type: str) -> Family:
    """The family of this `config.model_type`.

    Raises:
        FamilyError: There is none; the message lists the known ones.
    """
    if model_type not in FAMILIES:
        raise FamilyError(
            f"model type {model_type!r} is not known; set model.id to a model of one of these: "
            f"{', '.join(sorted(FAMILIES))}, or describe its modules in families.py"
        )
    return FAMILIES[model_type]


def family_of(model: PreTrainedModel) -> Family:
    """The family of a loaded model.

    Raises:
        FamilyError: It is of none of the known ones.
    """
    return named(model.config.model_type)


def lora_targets(family: Family, parts: Sequence[Part]) -> str:
    """One regular expression for PEFT's `target_modules`: the linear layers of these parts.

    Raises:
        FamilyError: A part is not one of layers that take LoRA.
    """
    for part in parts:
        if part not in ADAPTED:
            raise FamilyError(
                f"finetune.adapt: {part} takes no LoRA, only {' and '.join(ADAPTED)} do; "
                "name it in finetune.train_whole"
            )
    return "|".join(f"(?:{family.parts[part]})" for part in parts)


def whole_modules(family: Family, model: PreTrainedModel, parts: Sequence[Part]) -> list[str]:
    """Full names of the modules of these parts, for PEFT's `modules_to_save`.

    PEFT takes every module whose name ends in one of these, and no module's full name is the end of
    another's. A head that shares the word embedding's matrix is left out: PEFT ties them again.

    Raises:
        FamilyError: A part is not one that is trained whole, or the model has no such module.
    """
    modules = dict(model.named_modules())
    found = []
    for part in parts:
        if part in ADAPTED:
            raise FamilyError(
                f"finetune.train_whole: {part} is not trained whole; name it in finetune.adapt"
            )
        names = [name for name in modules if re.fullmatch(family.parts[part], name)]
        if not names:
            has = sorted({".".join(name.split(".")[:3]) for name in modules if name})
            raise FamilyError(
                f"this {family.name} has no {part} ({family.parts[part]}); it has {', '.join(has)}"
            )
        found += names
    if model.get_input_embeddings().weight is model.get_output_embeddings().weight:
        found = [n for n in found if modules[n] is not model.get_output_embeddings()]
    return found
