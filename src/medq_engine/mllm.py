"""A multimodal LLM that judges images: load it, put questions to it, read its probabilities.

Everything goes through `AutoModelForImageTextToText`, `AutoProcessor` and the chat template, so a
SmolVLM or an 8B model takes the nano model's place by its id. An image is encoded once for all the
questions about it (`mm_encoder_outputs`), and options are scored exactly instead of sampled.
"""

import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from PIL import Image
from torch.nn import functional
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel
from transformers.processing_utils import ProcessorMixin
from transformers.utils import logging as transformers_logging

from medq_engine.errors import MedqError
from medq_engine.language import prompt

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()
# PEFT asks transformers for an attribute by its old name, at every load.
warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)


class ModelError(MedqError):
    """A model folder or adapter cannot be used; the message says which and what to do."""


@dataclass(frozen=True)
class Query:
    """One question about the image at `image` (an index into the images passed beside it)."""

    image: int
    question: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scored:
    """Exact answer distribution over a query's options.

    Attributes:
        probabilities: Softmax of the options' summed token log-probabilities, shape (options,).
        nll: Mean negative log-likelihood per token of each option, shape (options,), in nats.
    """

    probabilities: np.ndarray
    nll: np.ndarray


@dataclass
class Mllm:
    """A model with its processor; `model` may be wrapped by PEFT."""

    model: PreTrainedModel | PeftModel
    processor: ProcessorMixin

    @property
    def base(self) -> PreTrainedModel:
        """The model without the PEFT wrapper (adapters stay in force)."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    @property
    def device(self) -> torch.device:
        """Where inputs must go."""
        return self.base.device


def load(model_id: str | Path, adapter: str | Path | None = None, dtype: str = "float32") -> Mllm:
    """Load a model folder or hub id, with a PEFT adapter where one is given, ready to infer.

    Raises:
        ModelError: The folder has no such model, or the adapter does not fit it.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        processor = AutoProcessor.from_pretrained(model_id)
        model = AutoModelForImageTextToText.from_pretrained(
            model_id, dtype=getattr(torch, dtype), use_safetensors=True
        )
        if adapter is not None:
            model = PeftModel.from_pretrained(model, adapter)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise ModelError(
            f"cannot load model {model_id} (adapter: {adapter or 'none'}): {error}\n"
            "Set model.id in params.yaml to a folder or hub id with safetensors weights and a "
            "processor, and see that the adapter was trained on that model."
        ) from error
    return Mllm(model.to(device).eval(), processor)


def render(processor: ProcessorMixin, text: str, answer: str | None = None) -> str:
    """The chat that asks `text` about one image; with `answer`, only what follows the prompt."""
    user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
    asked = processor.apply_chat_template([user], add_generation_prompt=True)
    if answer is None:
        return asked
    reply = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
    chat = processor.apply_chat_template([user, reply])
    if not chat.startswith(asked):
        raise ModelError("the chat template does not continue its own generation prompt")
    return chat[len(asked) :].rstrip("\n")


def encode_prompt(
    processor: ProcessorMixin, image: Image.Image, text: str
) -> tuple[list[int], dict[str, torch.Tensor]]:
    """Token ids of the prompt (image placeholders expanded) and the image tensors."""
    inputs = processor(text=[render(processor, text)], images=[[image]], return_tensors="pt")
    ids = inputs.pop("input_ids")[0].tolist()
    inputs.pop("attention_mask")
    return ids, dict(inputs)


def encode_answer(processor: ProcessorMixin, text: str, answer: str) -> list[int]:
    """Token ids of the answer with the end-of-turn marker, as the chat template writes them."""
    reply = render(processor, text, answer)
    return processor.tokenizer(reply, add_special_tokens=False)["input_ids"]


def logits_of_answers(
    mllm: Mllm,
    image_inputs: Sequence[dict[str, torch.Tensor]],
    image_of_row: Sequence[int],
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of every answer token, each image encoded once.

    Args:
        image_inputs: One dict of image tensors (as `encode_prompt` returns) for each image.
        image_of_row: For each row, the index of its image.
        prompts, answers: Token ids of each row.

    Returns:
        Log-probabilities and mask, both of shape (rows, longest answer); padding is masked 0.
    """
    pixels = {k: torch.cat([i[k] for i in image_inputs]).to(mllm.device) for k in image_inputs[0]}
    encoded = mllm.base.model.get_image_features(**pixels, return_dict=True)
    shared = copy.copy(encoded)
    shared.pooler_output = [encoded.pooler_output[i] for i in image_of_row]

    width = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    longest = max(map(len, answers))
    pad = mllm.processor.tokenizer.pad_token_id
    ids = torch.full((len(prompts), width), pad)
    attention = torch.zeros_like(ids)
    targets = torch.zeros((len(prompts), longest), dtype=torch.long)
    mask = torch.zeros((len(prompts), longest))
    positions = torch.zeros((len(prompts), longest), dtype=torch.long)
    for row, (start, answer) in enumerate(zip(prompts, answers, strict=True)):
        end = len(start) + len(answer)
        ids[row, :end] = torch.tensor([*start, *answer])
        attention[row, :end] = 1
        targets[row, : len(answer)] = torch.tensor(answer)
        mask[row, : len(answer)] = 1
        # The token at position p is predicted by the state at p - 1.
        positions[row, : len(answer)] = torch.arange(len(start) - 1, end - 1)
    outputs = mllm.base.model(
        input_ids=ids.to(mllm.device),
        attention_mask=attention.to(mllm.device),
        mm_encoder_outputs={"image": shared},
        use_cache=False,
    )
    hidden = outputs.last_hidden_state
    rows = torch.arange(len(prompts), device=hidden.device)[:, None]
    # Only answer positions go through the vocabulary head: the prompt's logits are never used.
    logits = mllm.base.lm_head(hidden[rows, positions.to(hidden.device)]).float()
    chosen = functional.log_softmax(logits, dim=-1).gather(-1, targets.to(hidden.device)[..., None])
    return chosen[..., 0], mask.to(hidden.device)


def grouped(queries: Sequence[Query], images_per_batch: int) -> Iterator[list[int]]:
    """Indices of queries in batches that hold all the questions about `images_per_batch` images."""
    by_image: dict[int, list[int]] = {}
    for index, query in enumerate(queries):
        by_image.setdefault(query.image, []).append(index)
    images = list(by_image)
    for start in range(0, len(images), images_per_batch):
        yield [i for image in images[start : start + images_per_batch] for i in by_image[image]]


@torch.inference_mode()
def score(
    mllm: Mllm,
    images: Sequence[Image.Image],
    queries: Sequence[Query],
    images_per_batch: int = 32,
) -> list[Scored]:
    """The exact probability of every option of every query, in the order of the queries."""
    results: list[Scored | None] = [None] * len(queries)
    for batch in grouped(queries, images_per_batch):
        local: dict[int, int] = {}
        image_inputs, image_of_row, prompts, answers, rows_of = [], [], [], [], []
        for index in batch:
            query = queries[index]
            text = prompt(query.question, query.options)
            ids, pixels = encode_prompt(mllm.processor, images[query.image], text)
            if query.image not in local:
                local[query.image] = len(image_inputs)
                image_inputs.append(pixels)
            rows_of.append(range(len(prompts), len(prompts) + len(query.options)))
            for option in query.options:
                image_of_row.append(local[query.image])
                prompts.append(ids)
                answers.append(encode_answer(mllm.processor, text, option))
        logp, mask = logits_of_answers(mllm, image_inputs, image_of_row, prompts, answers)
        total = (logp * mask).sum(-1)
        mean = -total / mask.sum(-1)
        for index, rows in zip(batch, rows_of, strict=True):
            span = slice(rows.start, rows.stop)
            results[index] = Scored(
                probabilities=torch.softmax(total[span].double(), 0).cpu().numpy(),
                nll=mean[span].double().cpu().numpy(),
            )
    return results


@torch.inference_mode()
def generate(
    mllm: Mllm,
    images: Sequence[Image.Image],
    text: str,
    max_new_tokens: int,
    images_per_batch: int = 32,
) -> list[tuple[str, float]]:
    """Greedy answers to one open question about each image, with mean token NLL in nats."""
    tokenizer = mllm.processor.tokenizer
    tokenizer.padding_side = "left"
    answers = []
    for start in range(0, len(images), images_per_batch):
        chunk = images[start : start + images_per_batch]
        inputs = mllm.processor(
            text=[render(mllm.processor, text)] * len(chunk),
            images=[[image] for image in chunk],
            return_tensors="pt",
            padding=True,
        ).to(mllm.device)
        out = mllm.base.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
        new = out.sequences[:, inputs["input_ids"].shape[1] :]
        logp = functional.log_softmax(torch.stack(out.logits, 1).float(), -1)
        chosen = logp.gather(-1, new[..., None])[..., 0]
        real = new != tokenizer.pad_token_id
        nll = -(chosen * real).sum(1) / real.sum(1).clamp(min=1)
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
        answers += [(t.strip(), float(n)) for t, n in zip(texts, nll, strict=True)]
    return answers
