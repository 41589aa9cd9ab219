from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import torch
from PIL import Image

from medq_engine.language import prompt, question
from medq_engine.models import scoring
from medq_engine.models.generation import generate
from medq_engine.models.mllm import Mllm, encode_answer
from medq_engine.models.scoring import QUESTIONS_PER_ROW, grouped, rotations, score
from medq_engine.questions import Query

YES_NO = question("yes-no", "mri", "aliasing")
WHAT = question("what", "mri")
HOW = question("how", "mri")


class Counted(Mapping):
    """Images by name that counts how often each is opened."""

    def __init__(self, images: list[Image.Image]) -> None:
        self.images = {f"i{number}": image for number, image in enumerate(images)}
        self.opened: Counter[str] = Counter()

    def __getitem__(self, key: str) -> Image.Image:
        self.opened[key] += 1
        return self.images[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.images)

    def __len__(self) -> int:
        return len(self.images)


@pytest.fixture
def expected(nano_model, noise_images, plain_pass):
    """Probabilities and NLL of replies to a text, from plain passes."""

    def of(images: list[int], text: str, replies: list[str]) -> tuple[np.ndarray, list[float]]:
        shown = [noise_images[index] for index in images]
        ids = [encode_answer(nano_model.processor, reply) for reply in replies]
        logp = [plain_pass(nano_model, shown, text, reply) for reply in ids]
        total = np.array([tokens.sum() for tokens in logp])
        odds = np.exp(total - total.max())
        return odds / odds.sum(), [-tokens.mean() for tokens in logp]

    return of


def test_scores_equal_a_plain_pass_over_every_option(nano_model, noise_images, expected):
    # Options of several lengths, so padding and positions matter.
    (found,) = score(nano_model, noise_images, [Query((2,), *WHAT)])
    assert len({len(encode_answer(nano_model.processor, option)) for option in WHAT[1]}) > 1
    probabilities, nll = expected([2], prompt(*WHAT), WHAT[1])
    assert found.probabilities == pytest.approx(probabilities, abs=1e-5)
    assert found.nll == pytest.approx(nll, abs=1e-4)
    assert found.answers is None


def test_two_images_are_asked_about_in_one_prompt_in_their_order(
    nano_model, noise_images, expected
):
    pair = ("Which image is better?", ("First", "Second"))
    found, other = score(nano_model, noise_images, [Query((1, 3), *pair), Query((3, 1), *pair)])
    assert found.probabilities == pytest.approx(
        expected([1, 3], prompt(*pair), pair[1])[0], abs=1e-5
    )
    assert np.abs(found.nll - other.nll).max() > 1e-6


def test_letters_are_scored_where_the_model_answers_by_letter(nano_model, noise_images, expected):
    lettered = Mllm(nano_model.model, nano_model.processor, "letter")
    (found,) = score(lettered, noise_images, [Query((0,), *HOW)])
    probabilities, _ = expected([0], prompt(*HOW, "letter"), ["A", "B", "C"])
    assert found.probabilities == pytest.approx(probabilities, abs=1e-5)


def test_an_image_encoded_once_answers_like_an_image_encoded_for_each_question(
    nano_model, noise_images
):
    queries = [Query((i,), *q) for q in (YES_NO, WHAT, HOW) for i in (2, 0, 3)]
    together = score(nano_model, noise_images, queries, images_per_batch=2)
    for query, found in zip(queries, together, strict=True):
        (alone,) = score(nano_model, noise_images, [query])
        assert found.probabilities.sum() == pytest.approx(1, abs=1e-9)
        assert found.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
        assert found.nll == pytest.approx(alone.nll, abs=1e-5)


def test_the_answer_depends_on_the_image(nano_model, noise_images):
    first, second = score(nano_model, noise_images, [Query((0,), *YES_NO), Query((1,), *YES_NO)])
    assert np.abs(first.nll - second.nll).max() > 1e-6


def test_scores_are_the_same_after_generating(nano_model, noise_images):
    (before,) = score(nano_model, noise_images, [Query((0,), *WHAT)])
    generate(nano_model, noise_images, "Describe.", 2)
    (after,) = score(nano_model, noise_images, [Query((0,), *WHAT)])
    assert np.array_equal(before.probabilities, after.probabilities)


def test_an_image_is_opened_once_when_its_batch_is_due(nano_model, noise_images, monkeypatch):
    images = Counted(noise_images)
    open_at_batch = []
    real = scoring.log_probabilities

    def noted(mllm, rows):
        open_at_batch.append(sorted(images.opened))
        return real(mllm, rows)

    monkeypatch.setattr(scoring, "log_probabilities", noted)
    queries = [Query((key,), *q) for q in (YES_NO, HOW) for key in ("i2", "i0", "i1")]
    score(nano_model, images, queries, images_per_batch=2)
    assert open_at_batch == [["i0", "i2"], ["i0", "i1", "i2"]]
    assert images.opened == {"i0": 1, "i1": 1, "i2": 1}


def test_a_batch_holds_all_questions_about_its_images():
    queries = [Query((i,), "Q?") for i in (5, 7, 5, 9, 7, 5)]
    assert list(grouped(queries, 2)) == [[[0, 2, 5], [1, 4]], [[3]]]
    pairs = [Query(images, "Q?") for images in ((1, 2), (2, 1), (1,), (1, 2))]
    assert list(grouped(pairs, 9)) == [[[0, 3], [1], [2]]]
    assert list(grouped([], 2)) == []
    # A row of too many questions is cut: its attention grows with their square.
    many = [Query((0,), "Q?")] * (2 * QUESTIONS_PER_ROW + 1)
    assert [len(group) for batch in grouped(many, 9) for group in batch] == [8, 8, 1]


def test_orders_are_shifted_by_one_and_no_more_than_there_are_options():
    assert rotations(("a", "b", "c"), 2) == [("a", "b", "c"), ("b", "c", "a")]
    assert rotations(("a", "b"), 9) == [("a", "b"), ("b", "a")]
    assert rotations(("a", "b", "c"), 1) == [("a", "b", "c")]


def test_a_liking_for_a_place_in_the_list_cancels_over_all_orders(
    nano_model, noise_images, monkeypatch
):
    def biased(mllm, rows):
        """Option n stands first in the n-th order, and the first is what this model likes."""
        (row,) = rows
        logp = torch.full((sum(len(asked.answers) for asked in row.asked), 1), -3.0)
        for order, asked in enumerate(row.asked):
            logp[order * len(asked.answers) + order] = 0.0
        return logp, torch.ones_like(logp)

    monkeypatch.setattr(scoring, "log_probabilities", biased)
    (once,) = score(nano_model, noise_images, [Query((0,), *HOW)], option_orders=1)
    assert once.probabilities[0] > 0.9
    (fair,) = score(nano_model, noise_images, [Query((0,), *HOW)], option_orders=3)
    assert fair.probabilities == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("form", ["text", "letter"])
def test_several_orders_are_the_mean_over_them(nano_model, noise_images, expected, form):
    mllm = Mllm(nano_model.model, nano_model.processor, form)
    queries = [Query((0,), *HOW), Query((0,), *YES_NO)]
    how, _ = score(mllm, noise_images, queries, option_orders=2)
    text, options = HOW
    listed = ("Mild", "Severe", "None")
    # Whatever its place and letter, a probability is that of the same option.
    replies = {"text": [options, options], "letter": [tuple("ABC"), tuple("CAB")]}[form]
    first = expected([0], prompt(text, options, form), replies[0])
    second = expected([0], prompt(text, listed, form), replies[1])
    assert how.probabilities == pytest.approx((first[0] + second[0]) / 2, abs=1e-5)
    assert how.nll == pytest.approx(np.mean([first[1], second[1]], 0), abs=1e-4)
