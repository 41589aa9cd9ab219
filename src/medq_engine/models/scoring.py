"""Closed questions: the exact probability of every option, instead of samples of it."""

from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np
import torch
from PIL import Image

from medq_engine.language import prompt, reply
from medq_engine.models.mllm import Mllm, encode_answer, encode_question, show
from medq_engine.models.shared_prefix import Asked, Row, log_probabilities
from medq_engine.questions import Query, Scored

QUESTIONS_PER_ROW = 8
"""A row of tokens grows with its questions, and its attention with their square."""

Images = Sequence[Image.Image] | Mapping[Hashable, Image.Image]


def grouped(queries: Sequence[Query], prompts_per_batch: int) -> Iterator[list[list[int]]]:
    """Indices of queries: batches of groups, a group for questions about the same images."""
    by_images: dict[tuple[Hashable, ...], list[int]] = {}
    for index, query in enumerate(queries):
        by_images.setdefault(query.images, []).append(index)
    groups = [
        together[start : start + QUESTIONS_PER_ROW]
        for together in by_images.values()
        for start in range(0, len(together), QUESTIONS_PER_ROW)
    ]
    for start in range(0, len(groups), prompts_per_batch):
        yield groups[start : start + prompts_per_batch]


def rotations(options: Sequence[str], orders: int) -> list[tuple[str, ...]]:
    """The options as they are and in up to `orders` - 1 other orders, each shifted by one."""
    return [(*options[n:], *options[:n]) for n in range(min(orders, len(options)))]


def encode(mllm: Mllm, query: Query, orders: int) -> list[Asked]:
    """A query as questions, one for every order of its options; answers stay in its own order."""
    form = mllm.answer_format
    return [
        Asked(
            encode_question(
                mllm.processor, prompt(query.question, listed, form), len(query.images)
            ),
            tuple(encode_answer(mllm.processor, reply(listed, o, form)) for o in query.options),
        )
        for listed in rotations(query.options, orders)
    ]


@torch.inference_mode()
def score(
    mllm: Mllm,
    images: Images,
    queries: Sequence[Query],
    images_per_batch: int = 32,
    option_orders: int = 1,
) -> list[Scored]:
    """The exact probability of every option of every query, in the order of the queries.

    An option's probability is that of its tokens, end of turn included, among the options; with
    several orders, the mean over the orders, which takes out a liking for a place in the list.

    Args:
        mllm: Model to ask.
        images: Pictures by the keys that queries use; each is opened when its batch is due.
        queries: What to ask.
        images_per_batch: Prompts (images, or pairs) that go through the model at once.
        option_orders: Orders of the options to average over.
    """
    results: list[Scored | None] = [None] * len(queries)
    for batch in grouped(queries, images_per_batch):
        rows, asked_of = [], []
        for group in batch:
            shown = show(mllm.processor, [images[key] for key in queries[group[0]].images])
            asked = [encode(mllm, queries[index], option_orders) for index in group]
            rows.append(Row(shown, tuple(one for orders in asked for one in orders)))
            asked_of += [(index, len(orders)) for index, orders in zip(group, asked, strict=True)]
        logp, mask = log_probabilities(mllm, rows)
        total = (logp * mask).sum(-1).double().cpu()
        nll = (-total / mask.sum(-1).cpu()).numpy()
        start = 0
        for index, orders in asked_of:
            shape = (orders, len(queries[index].options))
            stop = start + shape[0] * shape[1]
            probabilities = torch.softmax(total[start:stop].reshape(shape), -1).mean(0)
            results[index] = Scored(
                probabilities=probabilities.numpy(),
                nll=nll[start:stop].reshape(shape).mean(0).astype(np.float64),
            )
            start = stop
    return results
