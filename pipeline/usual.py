"""The usual ways that the benchmarks compare with: nothing is shared and nothing is kept."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch.nn import functional
from tqdm import tqdm

from medq_engine.language import Sample, prompt
from medq_engine.models import mllm
from medq_engine.questions import Query


def sampled_answers(
    model: mllm.Mllm,
    images: Mapping[str, Image.Image],
    queries: Sequence[Query],
    repeats: int,
) -> list[list[str]]:
    """R answers to each query by sampled generation, one prompt at a time."""
    processor = model.processor
    found = []
    for query in tqdm(queries, desc="usual loop", mininterval=10):
        # Generous to the loop: it never writes more tokens than the longest option has.
        longest = max(len(mllm.encode_answer(processor, option)) for option in query.options)
        chat = mllm.render(processor, prompt(query.question, query.options))
        drawn = []
        for _ in range(repeats):
            inputs = mllm.process(processor, [chat], [[images[query.images[0]]]])
            with torch.inference_mode():
                out = model.base.generate(
                    **inputs, do_sample=True, top_k=0, top_p=1.0, max_new_tokens=longest
                )
            new = out[0, inputs["input_ids"].shape[1] :]
            drawn.append(processor.tokenizer.decode(new, skip_special_tokens=True))
        found.append(drawn)
    return found


def plain_probabilities(model: mllm.Mllm, image: Image.Image, query: Query) -> np.ndarray:
    """Option probabilities by one whole pass for every option: nothing batched, nothing shared."""
    chat = mllm.render(model.processor, prompt(query.question, query.options))
    inputs = mllm.process(model.processor, [chat], [[image]])
    start = inputs["input_ids"].shape[1]
    totals = []
    for option in query.options:
        answer = torch.tensor([mllm.encode_answer(model.processor, option)])
        ids = torch.cat([inputs["input_ids"], answer], 1)
        given = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.inference_mode():
            logp = torch.log_softmax(model.base(**given).logits[0, start - 1 : -1].double(), -1)
        totals.append(float(logp.gather(-1, answer[0][:, None]).sum()))
    weights = np.exp(np.array(totals) - max(totals))
    return weights / weights.sum()


def one_turn_step(model: mllm.Mllm, samples: Sequence[Sample]) -> tuple[torch.Tensor, int]:
    """Mean loss of a batch of one-turn samples by a plain pass with labels, and its tokens."""
    processor = model.processor
    chats, images, ends = [], [], []
    for sample in samples:
        for turn in sample.turns:
            text = prompt(turn.question, turn.options)
            answer = mllm.render(processor, text, turn.answer)
            chats.append(mllm.render(processor, text) + answer)
            images.append([sample.image])
            ends.append(len(mllm.encode_answer(processor, turn.answer)))
    inputs = mllm.process(processor, chats, images)
    inputs = {name: tensor.to(model.device) for name, tensor in inputs.items()}
    # Padding is on the left, so a row's answer is its last tokens.
    labels = torch.full_like(inputs["input_ids"], -100)
    for row, end in enumerate(ends):
        labels[row, -end:] = inputs["input_ids"][row, -end:]
    logits = model.base(**inputs, use_cache=False).logits[:, :-1].float()
    loss = functional.cross_entropy(
        logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
    )
    return loss, sum(ends)
