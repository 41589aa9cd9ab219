"""A multimodal LLM that judges images: load it, and write images and words the way it reads them.

Everything goes through `AutoModelForImageTextToText`, a processor and its chat template, so a
SmolVLM or an 8B model takes the nano model's place by its id. What differs between families is
data (`families`). No code of a model's repository is run, and weights are safetensors only.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from peft import PeftModel
from PIL import Image
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig, PreTrainedModel
from transformers.processing_utils import ProcessorMixin
from transformers.utils import logging as transformers_logging

from medq_engine.errors import MedqError
from medq_engine.models.families import Family, family_of
from medq_engine.models.processors import load_processor
from medq_engine.vocabulary import AnswerFormat

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()
# PEFT asks transformers for an attribute by its old name, at every load.
warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)

# What a processor returns for every token, not for every image.
TOKEN_INPUTS = ("token_type_ids", "mm_token_type_ids")
PROBE = "Q"
ORDER = (
    "this processor writes the question differently beside an image than alone, or before it; "
    "put a chat_template.jinja into the model's folder that puts images first and then the text"
)


class ModelError(MedqError):
    """A model folder or adapter cannot be used; the message says which and what to do."""


@dataclass(eq=False)
class Mllm:
    """A model with its processor, and how it is asked; `model` may be wrapped by PEFT."""

    model: PreTrainedModel | PeftModel
    processor: ProcessorMixin
    answer_format: AnswerFormat = "text"

    @property
    def base(self) -> PreTrainedModel:
        """The model without the PEFT wrapper (adapters stay in force)."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    @property
    def family(self) -> Family:
        """What is particular to this kind of model."""
        return family_of(self.base)

    @property
    def device(self) -> torch.device:
        """Where inputs must go."""
        return self.base.device


def load(
    model_id: str | Path,
    adapter: str | Path | None = None,
    dtype: str = "float32",
    quantize: str | None = None,
    answer_format: AnswerFormat = "text",
) -> Mllm:
    """Load a model folder or hub id, with a PEFT adapter where one is given, ready to infer.

    Args:
        model_id: Folder, or id on the Hugging Face hub.
        adapter: Folder of a PEFT adapter that was trained on this model.
        dtype: Of the weights, as torch names it.
        quantize: "4bit" stores frozen weights in four bits (NF4; CUDA and bitsandbytes only).
        answer_format: Whether it answers by an option's words or its letter.

    Raises:
        ModelError: The folder has no such model, or the adapter does not fit it.
    """
    # Under `accelerate launch` each process has a device of its own.
    device = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).device
    options = {}
    if quantize:
        if device.type != "cuda":
            raise ModelError(f"model.quantize: {quantize} needs a CUDA device; set it to null here")
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
        options["device_map"] = {"": device}
    processor = load_processor(model_id)
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            model_id, dtype=getattr(torch, dtype), use_safetensors=True, **options
        )
        family_of(model)
        if adapter is not None:
            model = PeftModel.from_pretrained(model, adapter)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise ModelError(
            f"cannot load model {model_id} (adapter: {adapter or 'none'}): {error}\n"
            "Set model.id in params.yaml to a folder or hub id with safetensors weights and a "
            "processor, and see that the adapter was trained on that model."
        ) from error
    # Packed weights were put on the device while they were packed, and cannot be moved.
    model = model if quantize else model.to(device)
    return Mllm(model.eval(), processor, answer_format)


def render(processor: ProcessorMixin, text: str, answer: str | None = None, images: int = 1) -> str:
    """The chat that asks `text` about images; with `answer`, only what follows the prompt."""
    shown = [{"type": "image"}] * images
    user = {"role": "user", "content": [*shown, {"type": "text", "text": text}]}
    asked = processor.apply_chat_template([user], add_generation_prompt=True)
    if answer is None:
        return asked
    reply = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
    chat = processor.apply_chat_template([user, reply])
    if not chat.startswith(asked):
        raise ModelError(
            "the chat template does not continue its own generation prompt; put one that does into "
            "chat_template.jinja of the model's folder, or set model.id to another model"
        )
    said, end = chat[len(asked) :].rstrip("\n"), processor.tokenizer.eos_token
    # A template that writes no end of turn (LLaVA-1.5) would never teach the model to stop.
    return said if said.strip() != answer else said.rstrip() + end


def process(
    processor: ProcessorMixin, chats: Sequence[str], images: Sequence[Sequence[Image.Image]]
) -> dict[str, torch.Tensor]:
    """Chats with their images as a batch of tensors, padded on the left, as generation wants it."""
    inputs = processor(
        text=list(chats),
        images=[list(shown) for shown in images],
        return_tensors="pt",
        padding=True,
        padding_side="left",
    )
    inputs.pop("labels", None)  # PaliGemma's processor prepares a loss that nobody asked for
    return dict(inputs)


@dataclass(frozen=True)
class Shown:
    """The images of one prompt, as a model reads them.

    Attributes:
        ids: Tokens of the prompt up to where its text begins, image placeholders expanded.
        tensors: What the vision tower takes, as the processor returns it for one prompt.
        token_inputs: What goes beside each of `ids` (modality of the token), as far as needed.
        seen: What a frozen vision tower made of the images, if it has looked already (`towers`).
    """

    ids: tuple[int, ...]
    tensors: dict[str, torch.Tensor]
    token_inputs: dict[str, tuple[int, ...]]
    seen: object = None


def show(processor: ProcessorMixin, images: Sequence[Image.Image]) -> Shown:
    """Encode the images of one prompt; the questions about them are `encode_question`'s.

    Raises:
        ModelError: The chat template puts text before the images, or glues the two together.
    """
    chat = render(processor, PROBE, images=len(images))
    inputs = process(processor, [chat], [images])
    ids = inputs.pop("input_ids")[0].tolist()
    inputs.pop("attention_mask")
    tail = encode_question(processor, PROBE, len(images))
    if tuple(ids[-len(tail) :]) != tail:
        raise ModelError(ORDER)
    head = len(ids) - len(tail)
    beside = {k: tuple(inputs.pop(k)[0, :head].tolist()) for k in TOKEN_INPUTS if k in inputs}
    return Shown(tuple(ids[:head]), inputs, beside)


@lru_cache(maxsize=4096)
def encode_question(processor: ProcessorMixin, text: str, images: int = 1) -> tuple[int, ...]:
    """Token ids of a prompt behind its images: the question, and the turn to the answer."""
    chat = render(processor, text, images=images)
    behind = chat.rpartition(processor.image_token)[2]
    if text not in behind:
        raise ModelError(ORDER)
    return _tokens(processor, behind)


@lru_cache(maxsize=4096)
def encode_answer(processor: ProcessorMixin, answer: str) -> tuple[int, ...]:
    """Token ids of an answer with the end-of-turn marker, as the chat template writes them."""
    return _tokens(processor, render(processor, PROBE, answer))


def _tokens(processor: ProcessorMixin, text: str) -> tuple[int, ...]:
    """Token ids of a text that stands behind an image.

    Llama's tokenizer puts a space before what comes first, so the image's token does.
    """
    chat = processor.image_token + text
    return tuple(processor.tokenizer(chat, add_special_tokens=False)["input_ids"][1:])


def stack(prompts: Sequence[Shown]) -> dict[str, torch.Tensor]:
    """Image tensors of several prompts as one batch.

    They are laid end to end; where one prompt has fewer pictures or tiles than another, zeros fill
    it up, as the processors do it themselves.
    """
    stacked = {}
    for name in prompts[0].tensors:
        parts = [prompt.tensors[name] for prompt in prompts]
        if parts[0].dim() > 1:
            most = max(part.shape[1] for part in parts)
            parts = [
                torch.cat([p, p.new_zeros(len(p), most - p.shape[1], *p.shape[2:])], 1)
                if p.shape[1] < most
                else p
                for p in parts
            ]
        stacked[name] = torch.cat(parts)
    return stacked
