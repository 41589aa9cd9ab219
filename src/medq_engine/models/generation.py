"""Open questions: batched generation with a KV cache, and how sure the model was of its words."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch.nn import functional

from medq_engine.models.mllm import Mllm, process, render


@torch.inference_mode()
def generate(
    mllm: Mllm,
    images: Sequence[Image.Image],
    text: str,
    max_new_tokens: int,
    images_per_batch: int = 32,
    temperature: float = 0.0,
    repeats: int = 1,
    seed: int = 0,
) -> list[list[tuple[str, float]]]:
    """Answers to one open question about each image, with their mean token NLL in nats.

    The mean negative log-likelihood of the answer's own tokens is the paper's trajectory entropy H
    (arXiv 2603.19863).

    Args:
        mllm: Model to ask.
        images: Pictures.
        text: The question.
        max_new_tokens: Where an answer is cut.
        images_per_batch: Images that go through the model at once.
        temperature: 0 takes the likeliest token each time.
        repeats: Answers for each image; more than one needs a temperature above 0. The prompt is
            encoded once for all of them.
        seed: Of the draws.

    Returns:
        For each image, `repeats` pairs of answer and NLL.
    """
    tokenizer = mllm.processor.tokenizer
    sampling = {"do_sample": False}
    if temperature > 0:
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    answers: list[list[tuple[str, float]]] = []
    for start in range(0, len(images), images_per_batch):
        chunk = images[start : start + images_per_batch]
        chats = [render(mllm.processor, text)] * len(chunk)
        inputs = process(mllm.processor, chats, [[image] for image in chunk])
        inputs = {name: tensor.to(mllm.device) for name, tensor in inputs.items()}
        with torch.random.fork_rng():
            torch.manual_seed(seed + start)
            out = mllm.base.generate(
                **inputs,
                **sampling,
                num_return_sequences=repeats,
                max_new_tokens=max_new_tokens,
                return_dict_in_generate=True,
                output_logits=True,
            )
        new = out.sequences[:, inputs["input_ids"].shape[1] :]
        # The token at a step is weighed at that step: all steps' logits at once would be large.
        logp = torch.stack(
            [
                functional.log_softmax(logits.float(), -1).gather(-1, new[:, step, None])[:, 0]
                for step, logits in enumerate(out.logits)
            ],
            1,
        )
        real = new != tokenizer.pad_token_id
        nll = (-(logp * real).sum(1) / real.sum(1).clamp(min=1)).tolist()
        texts = [t.strip() for t in tokenizer.batch_decode(new, skip_special_tokens=True)]
        drawn = list(zip(texts, nll, strict=True))
        answers += [drawn[i : i + repeats] for i in range(0, len(drawn), repeats)]
    return answers
