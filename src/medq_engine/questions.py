"""What is asked of a model under evaluation and what comes back, whoever answers."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Query:
    """One question about one image, or two to compare.

    Attributes:
        images: Keys of the images passed beside the queries (positions in a list, or ids).
        question: The question without its options.
        options: What may be answered; empty for an open question.
    """

    images: tuple[Hashable, ...]
    question: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scored:
    """The answer distribution over a query's options.

    Attributes:
        probabilities: Probability of each option, shape (options,); they sum to 1.
        nll: Mean negative log-likelihood per token of each option, shape (options,), in nats.
        answers: The answers as they were drawn, "" for one that could not be read; None where
            `probabilities` are exact and answers are drawn from them.
        unparsed: How many of `answers` could not be read.
    """

    probabilities: np.ndarray
    nll: np.ndarray
    answers: tuple[str, ...] | None = None
    unparsed: int = 0
