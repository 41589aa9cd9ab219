"""The tree of questions and answers against one plain pass over every prompt and answer."""

import numpy as np
import pytest
import torch

from medq_engine.models import shared_prefix
from medq_engine.models.families import FAMILIES
from medq_engine.models.mllm import Mllm, encode_answer, encode_question, show
from medq_engine.models.shared_prefix import Asked, Row, log_probabilities, plant, within_window

SHORT, LONG = "Sharp?", "Which degradation is most visible in this fundus image?"
ANSWERS = ("Yes", "No degradation", "a beam hardening artifact")
PAIR = "Which of the two images has the better quality?"


def ask(mllm: Mllm, text: str, answers: tuple[str, ...], images: int = 1) -> Asked:
    question = encode_question(mllm.processor, text, images)
    return Asked(question, tuple(encode_answer(mllm.processor, a) for a in answers))


@pytest.fixture
def pictures(noise_images):
    """Two images of different shape, so that most families need more tokens for one."""
    return [noise_images[0], noise_images[1].resize((96, 48))]


def mixed(mllm: Mllm, pictures) -> list[Row]:
    """One image with two questions, another one with one, and both with another one."""
    first, second = pictures
    return [
        Row(
            show(mllm.processor, [first]),
            (ask(mllm, SHORT, ANSWERS), ask(mllm, LONG, ("Severe",))),
        ),
        Row(show(mllm.processor, [second]), (ask(mllm, LONG, ANSWERS[:2]),)),
        Row(show(mllm.processor, pictures), (ask(mllm, PAIR, ("First", "Second"), 2),)),
    ]


def plainly(monkeypatch) -> None:
    """From now on nothing is shared."""
    monkeypatch.setattr(shared_prefix, "within_window", lambda *_: False)


def states_used(monkeypatch) -> list[str]:
    """Names of the ways that are gone from now on."""
    ways = []
    for name in ("tree_states", "plain_states"):
        real = getattr(shared_prefix, name)

        def noted(*args, name=name, real=real):
            ways.append(name)
            return real(*args)

        monkeypatch.setattr(shared_prefix, name, noted)
    return ways


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_tree_equals_a_plain_pass_over_every_prompt_and_answer(
    tiny_mllm, pictures, plain_pass, family
):
    mllm = tiny_mllm(family)
    rows = mixed(mllm, pictures)
    lengths = {len(answer) for row in rows for asked in row.asked for answer in asked.answers}
    assert len(lengths) > 1
    with torch.inference_mode():
        logp, mask = log_probabilities(mllm, rows)
    first, second = pictures
    asked = [
        *(([first], SHORT, answer) for answer in ANSWERS),
        ([first], LONG, "Severe"),
        *(([second], LONG, answer) for answer in ANSWERS[:2]),
        *((pictures, PAIR, answer) for answer in ("First", "Second")),
    ]
    for found, told, (images, text, answer) in zip(logp, mask.bool(), asked, strict=True):
        expected = plain_pass(mllm, images, text, encode_answer(mllm.processor, answer))
        assert found[told].numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_tree_and_plain_states_have_the_same_gradients(tiny_mllm, pictures, monkeypatch, family):
    mllm = tiny_mllm(family)
    rows = mixed(mllm, pictures)[:2]
    trained = list(mllm.base.model.parameters())

    def learnt() -> tuple[torch.Tensor, list[torch.Tensor]]:
        logp, mask = log_probabilities(mllm, rows)
        grads = torch.autograd.grad((logp * mask).mean(), trained, allow_unused=True)
        return logp.detach(), grads

    ways = states_used(monkeypatch)
    logp, grads = learnt()
    plainly(monkeypatch)
    plain_logp, plain_grads = learnt()
    assert ways == ["tree_states", "plain_states"]
    assert torch.allclose(logp, plain_logp, atol=1e-5)
    assert sum(grad is not None for grad in grads) > 10
    for grad, expected in zip(grads, plain_grads, strict=True):
        assert (grad is None) == (expected is None)
        if grad is not None:
            assert torch.allclose(grad, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("question", ["Sharp?", ""])
def test_answers_of_one_token(nano_model, noise_images, plain_pass, question):
    tokens = (5, 9, 300)
    text = encode_question(nano_model.processor, question) if question else ()
    row = Row(
        show(nano_model.processor, noise_images[:1]), (Asked(text, tuple((t,) for t in tokens)),)
    )
    with torch.inference_mode():
        logp, mask = log_probabilities(nano_model, [row])
    assert logp.shape == mask.shape == (3, 1)
    if question:
        expected = [plain_pass(nano_model, noise_images[:1], question, [t])[0] for t in tokens]
        assert logp[:, 0].numpy() == pytest.approx(expected, abs=1e-5)
    else:
        plain = shared_prefix.plain_states(nano_model, [row])
        logits = nano_model.base.lm_head(plain.hidden[0, len(row.shown.ids) - 1])
        expected = torch.log_softmax(logits, -1)[list(tokens)]
        assert torch.allclose(logp[:, 0], expected, atol=1e-5)


def test_a_head_with_a_soft_cap_is_capped(tiny_mllm, pictures, plain_pass, monkeypatch):
    mllm = tiny_mllm("paligemma")
    text = mllm.base.config.get_text_config()
    monkeypatch.setattr(text, "final_logit_softcapping", 2.0, raising=False)
    with torch.inference_mode():
        logp, mask = log_probabilities(mllm, mixed(mllm, pictures)[:1])
    expected = plain_pass(mllm, pictures[:1], SHORT, encode_answer(mllm.processor, "Yes"))
    assert logp[0][mask[0].bool()].numpy() == pytest.approx(expected, abs=1e-5)


def test_a_row_longer_than_a_sliding_window_is_taken_plainly(
    tiny_mllm, pictures, plain_pass, monkeypatch
):
    mllm = tiny_mllm("gemma3")
    rows = mixed(mllm, pictures)[:1]
    tokens = len(rows[0].shown.ids) + sum(map(shared_prefix.tree_length, rows[0].asked))
    text = mllm.base.config.get_text_config()
    monkeypatch.setattr(text, "sliding_window", tokens + 1)
    assert within_window(mllm, rows)
    monkeypatch.setattr(text, "sliding_window", tokens)
    assert not within_window(mllm, rows)
    ways = states_used(monkeypatch)
    with torch.inference_mode():
        logp, mask = log_probabilities(mllm, rows)
    assert ways == ["plain_states"]
    expected = plain_pass(mllm, pictures[:1], SHORT, encode_answer(mllm.processor, "Yes"))
    assert logp[0][mask[0].bool()].numpy() == pytest.approx(expected, abs=1e-5)


def test_gradient_checkpointing_takes_the_plain_way_to_the_same_loss(
    build_nano, pictures, monkeypatch
):
    mllm = build_nano(0)
    rows = mixed(mllm, pictures)
    ways = states_used(monkeypatch)
    logp, _ = log_probabilities(mllm, rows)
    mllm.base.gradient_checkpointing_enable({"use_reentrant": False})
    mllm.model.train()
    again, _ = log_probabilities(mllm, rows)
    again.sum().backward()
    assert ways == ["tree_states", "plain_states"]
    assert torch.allclose(logp, again, atol=1e-5)
    assert mllm.base.model.text_model.embed_tokens.weight.grad.abs().sum() > 0


def test_an_image_goes_through_the_tower_once_however_much_is_asked(nano_model, noise_images):
    pixels = []
    hook = nano_model.base.model.vision_model.register_forward_hook(
        lambda module, inputs, settings, out: pixels.append(settings["pixel_values"].shape),
        with_kwargs=True,
    )
    with torch.inference_mode():
        log_probabilities(nano_model, mixed(nano_model, noise_images[:2])[:2])
    hook.remove()
    assert pixels == [(2, 3, 48, 48)]


def test_a_tree_knows_what_stands_before_each_token():
    tree = plant([Asked((1, 2), ((3, 4, 0), (5, 0))), Asked((6,), ((7, 0),))])
    # Answers' last tokens are only predicted, never read.
    assert tree.ids.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert tree.depth.tolist() == [0, 1, 2, 3, 2, 0, 1]
    assert tree.predictors == [[2, 3, 4], [2, 5], [6, 7]]
    branches = [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4], [5], [5, 6]]
    assert [np.flatnonzero(row).tolist() for row in tree.visible] == branches
