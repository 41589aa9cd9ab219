"""A model behind an endpoint: under evaluation, or as the draft annotator.

A server gives no probability of each option, so it is asked several times and its votes are
counted.
"""

import io
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from PIL import Image

from medq_engine.endpoints.answers import parse_option
from medq_engine.endpoints.client import Client, Reply, Request
from medq_engine.language import prompt
from medq_engine.questions import Query, Scored
from medq_engine.vocabulary import AnswerFormat


class EndpointModel:
    """Stands in for a local model: scores options, describes images.

    Args:
        client: Asks the server.
        repeats: Answers drawn for each query (R).
        temperature: At which they are drawn.
        max_new_tokens: Limit of an answer and of a description.
        answer_format: Whether options are lettered.
    """

    def __init__(
        self,
        client: Client,
        repeats: int,
        temperature: float,
        max_new_tokens: int,
        answer_format: AnswerFormat = "letter",
    ) -> None:
        self.client = client
        self.repeats = repeats
        self.temperature = temperature
        self.max_new_tokens = max_new_tokens
        self.answer_format = answer_format

    def score(
        self, images: Mapping[Hashable, Image.Image], queries: Sequence[Query]
    ) -> list[Scored]:
        """Vote shares of the options of every query, in the order of the queries.

        Args:
            images: Pictures by the keys that the queries name them by.
            queries: Questions with options.

        Raises:
            EndpointError: Some answers could not be had; those that came are kept.
        """
        shown = {key for query in queries for key in query.images}
        pngs = {key: _png(images[key]) for key in shown}
        replies = self.client.ask(
            [
                Request(
                    text=prompt(query.question, query.options, self.answer_format),
                    images=tuple(pngs[key] for key in query.images),
                    temperature=self.temperature,
                    max_tokens=self.max_new_tokens,
                    repeat=repeat,
                )
                for query in queries
                for repeat in range(self.repeats)
            ]
        )
        return [
            count_votes(replies[index * self.repeats :][: self.repeats], query.options)
            for index, query in enumerate(queries)
        ]

    def generate(
        self, images: Sequence[Image.Image], text: str, temperature: float = 0.0, repeats: int = 1
    ) -> list[list[tuple[str, float]]]:
        """For each image, `repeats` answers to an open question with their mean token NLL in nats.

        NLL is nan where the server gives no log-probabilities.

        Raises:
            EndpointError: Some answers could not be had; those that came are kept.
        """
        pngs = [_png(image) for image in images]
        replies = self.client.ask(
            [
                Request(text, (png,), temperature, self.max_new_tokens, repeat)
                for png in pngs
                for repeat in range(repeats)
            ]
        )
        said = [
            (reply.text.strip(), math.nan if reply.nll is None else reply.nll) for reply in replies
        ]
        return [said[index * repeats :][:repeats] for index in range(len(pngs))]


def count_votes(draws: Sequence[Reply], options: Sequence[str]) -> Scored:
    """The answer distribution that several draws of one question show.

    An option's NLL is the mean over the draws that chose it; without log-probabilities it is that
    of its smoothed vote share, -log((votes + 1/2) / (R + K/2)) (Krichevsky and Trofimov), which is
    finite for an option that nobody chose. Where no draw could be read all options are as probable.
    """
    answers = [_read(draw, options) for draw in draws]
    votes = Counter(answers)
    counts = np.array([votes[option] for option in options], dtype=float)
    nll = -np.log((counts + 0.5) / (len(draws) + 0.5 * len(options)))
    for index, option in enumerate(options):
        known = [
            draw.nll
            for draw, answer in zip(draws, answers, strict=True)
            if answer == option and draw.nll is not None
        ]
        if known:
            nll[index] = np.mean(known)
    read = counts.sum()
    return Scored(
        probabilities=counts / read if read else np.full(len(options), 1 / len(options)),
        nll=nll,
        answers=tuple(answer or "" for answer in answers),
        unparsed=votes[None],
    )


def drafts(
    client: Client,
    tasks: Sequence[Mapping[str, object]],
    images: Mapping[str, Image.Image],
    temperature: float = 0.0,
) -> list[str | None]:
    """The draft annotator's answer to every task, None where it could not be read.

    Args:
        client: Asks the server.
        tasks: Rows with `question`, `options` and `image_id`.
        images: Pictures by image id.
        temperature: 0 is greedy.

    Raises:
        EndpointError: Some answers could not be had; those that came are kept.
    """
    pngs = {name: _png(images[name]) for name in {str(task["image_id"]) for task in tasks}}
    replies = client.ask(
        [
            Request(
                text=prompt(str(task["question"]), task["options"], "letter"),
                images=(pngs[str(task["image_id"])],),
                temperature=temperature,
            )
            for task in tasks
        ]
    )
    return [_read(reply, task["options"]) for reply, task in zip(replies, tasks, strict=True)]


def _read(reply: Reply, options: Sequence[str]) -> str | None:
    return parse_option(reply.text, options, finished=reply.finished)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
