from dataclasses import replace

import numpy as np
import pytest
import torch

from medq_engine import training
from medq_engine.adapter import attach
from medq_engine.descriptions import turns
from medq_engine.language import Finding, Turn, prompt
from medq_engine.models import towers
from medq_engine.models.mllm import Mllm
from medq_engine.training import (
    AnswerLoss,
    Sample,
    Schedule,
    TrainingError,
    batch_at,
    draw_turns,
    encode,
    tokens_of,
    train,
)

SCHEDULE = Schedule(
    steps=6, batch=2, images_per_pass=2, turns=2, learning_rate=1e-3, weight_decay=0.01, seed=1
)


class KilledError(Exception):
    """Stands in for a kill signal."""


@pytest.fixture
def samples(noise_images) -> list[Sample]:
    findings = [(), (Finding("aliasing", "mild"),), (Finding("blur", "severe"),)]
    return [
        Sample(image, turns("mri", seen, np.random.default_rng(n)))
        for n, (image, seen) in enumerate(zip(noise_images, findings, strict=False))
    ]


def kill_at(monkeypatch, step: int) -> None:
    """Raise in place of the loss of a step, counted from 0 (a pass a step)."""
    real, calls = AnswerLoss.forward, []

    def dying(*args):
        calls.append(1)
        if len(calls) > step:
            raise KilledError
        return real(*args)

    monkeypatch.setattr(AnswerLoss, "forward", dying)


def weights(mllm) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in mllm.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize(("count", "batch"), [(10, 4), (7, 3), (3, 8)])
def test_every_epoch_visits_every_sample_exactly_once(count, batch):
    schedule = replace(SCHEDULE, batch=batch)
    visited = [i for step in range(count) for i in batch_at(count, schedule, step)]
    epochs = [visited[start : start + count] for start in range(0, len(visited), count)]
    assert len(epochs) == batch
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_batches_depend_on_seed_and_step_alone():
    forward = [batch_at(9, SCHEDULE, step) for step in range(6)]
    assert [batch_at(9, SCHEDULE, step) for step in reversed(range(6))] == forward[::-1]
    other = replace(SCHEDULE, seed=2)
    assert [batch_at(9, other, step) for step in range(6)] != forward


def test_a_killed_training_resumes_to_the_same_bits(build_nano, samples, tmp_path, monkeypatch):
    whole = build_nano(0)
    losses = train(whole, samples, SCHEDULE, tmp_path / "a.pt", checkpoint_every=2).losses

    killed = build_nano(0)
    with monkeypatch.context() as patch:
        kill_at(patch, step=5)
        with pytest.raises(KilledError):
            train(killed, samples, SCHEDULE, tmp_path / "b.pt", checkpoint_every=2)
    # Another fresh model: all that it ends with must come out of the checkpoint.
    resumed = build_nano(9)
    with monkeypatch.context() as patch:
        kill_at(patch, step=2)  # steps 4 and 5 are left, and no more
        again = train(resumed, samples, SCHEDULE, tmp_path / "b.pt", checkpoint_every=2)
    assert again.losses == losses
    assert same(weights(resumed), weights(whole))


def test_a_resumed_adapter_has_the_same_bits(build_nano, samples, tmp_path, monkeypatch):
    def fresh():
        return attach(build_nano(0), 2, 2, ["vision", "language"], ["connector"], seed=1)

    whole, killed, resumed = fresh(), fresh(), fresh()
    train(whole, samples, SCHEDULE, tmp_path / "a.pt", checkpoint_every=2)
    with monkeypatch.context() as patch:
        kill_at(patch, step=3)
        with pytest.raises(KilledError):
            train(killed, samples, SCHEDULE, tmp_path / "b.pt", checkpoint_every=2)
    train(resumed, samples, SCHEDULE, tmp_path / "b.pt", checkpoint_every=2)
    assert same(weights(resumed), weights(whole))


def test_only_the_adapter_is_trained(build_nano, samples, tmp_path):
    mllm = attach(build_nano(0), 2, 2, ["vision"], [], seed=1)
    before = weights(mllm)
    train(mllm, samples, replace(SCHEDULE, steps=2), tmp_path / "a.pt")
    changed = {
        name for name, value in weights(mllm).items() if not torch.equal(value, before[name])
    }
    assert changed
    assert all("lora_" in name for name in changed)
    assert not mllm.model.training


def test_training_lowers_the_loss(build_nano, samples, tmp_path):
    schedule = replace(SCHEDULE, steps=25, batch=3, learning_rate=1e-2)
    losses = train(build_nano(0), samples, schedule, tmp_path / "a.pt").losses
    assert len(losses) == 25
    assert np.mean(losses[-3:]) < 0.6 * losses[0]


def test_what_was_trained_is_given_back_by_name(build_nano, samples, tmp_path):
    mllm = attach(build_nano(0), 2, 2, ["language"], ["connector"], seed=1)
    done = train(mllm, samples, replace(SCHEDULE, steps=2), tmp_path / "a.pt")
    assert done.main
    assert same(done.weights, weights(mllm))


def test_nothing_to_train_on_is_refused(nano_model, tmp_path):
    with pytest.raises(TrainingError, match=r"no training samples.*finetune\.route_weight"):
        train(nano_model, [], SCHEDULE, tmp_path / "a.pt")


def test_a_batch_that_processes_cannot_share_evenly_is_refused(
    nano_model, samples, tmp_path, monkeypatch
):
    monkeypatch.setattr(training.Accelerator, "num_processes", property(lambda _: 3))
    with pytest.raises(TrainingError, match=r"finetune\.batch is 2, which 3 processes"):
        train(nano_model, samples, SCHEDULE, tmp_path / "a.pt")


def one_turn(image, answer: str, weight: float = 1.0) -> Sample:
    return Sample(image, (Turn("Is it?", ("Yes", "No"), answer),), weight)


def loss(mllm: Mllm, samples: list[Sample]) -> float:
    """Mean over the answer tokens, as a step reports it."""
    encoded = [encode(mllm, sample) for sample in samples]
    with torch.inference_mode():
        return float(AnswerLoss(mllm)(encoded)) / tokens_of(encoded)


def test_the_loss_is_the_mean_over_answer_tokens_weighted_by_sample(nano_model, noise_images):
    yes, no = (one_turn(noise_images[i], answer) for i, answer in enumerate(("Yes", "No")))
    tokens = [tokens_of([encode(nano_model, sample)]) for sample in (yes, no)]
    each = [loss(nano_model, [sample]) for sample in (yes, no)]
    expected = np.average(each, weights=tokens)
    assert loss(nano_model, [yes, no]) == pytest.approx(expected, abs=1e-5)
    trusted = [replace(yes, weight=1.0), replace(no, weight=0.25)]
    expected = np.average(each, weights=[tokens[0], 0.25 * tokens[1]])
    assert loss(nano_model, trusted) == pytest.approx(expected, abs=1e-5)


def test_the_loss_is_that_of_a_plain_pass_over_every_turn(nano_model, samples, plain_pass):
    sample = samples[1]
    encoded = encode(nano_model, sample)
    nll = [
        -plain_pass(nano_model, [sample.image], prompt(t.question, t.options), ids).sum()
        for t, asked in zip(sample.turns, encoded.turns, strict=True)
        for ids in asked.answers
    ]
    assert loss(nano_model, [sample]) == pytest.approx(sum(nll) / tokens_of([encoded]), abs=1e-5)


def test_a_model_that_answers_by_letter_is_taught_letters(nano_model, noise_images):
    lettered = Mllm(nano_model.model, nano_model.processor, "letter")
    (asked,) = encode(lettered, one_turn(noise_images[0], "No")).turns
    decode = nano_model.processor.tokenizer.decode
    assert "A. Yes\nB. No" in decode(asked.question)
    assert decode(asked.answers[0], skip_special_tokens=True).strip() == "B"


def test_no_more_turns_are_drawn_than_asked_for(samples):
    def drawn(turns: int, step: int = 0) -> list[list[int]]:
        return draw_turns(samples[:2], replace(SCHEDULE, turns=turns), step)

    assert [len(turns) for turns in drawn(1)] == [1, 1]
    assert all(len(set(turns)) == 2 for turns in drawn(2))
    assert [sorted(turns) for turns in drawn(99)] == [
        list(range(len(sample.turns))) for sample in samples[:2]
    ]
    assert len({str(drawn(2, step)) for step in range(5)}) > 1


def trained(build_nano, samples, path, **changes) -> tuple[list[float], dict[str, torch.Tensor]]:
    mllm = attach(build_nano(0), 2, 2, ["language"], ["connector"], seed=1)
    done = train(mllm, samples, replace(SCHEDULE, batch=3, **changes), path)
    return done.losses, done.weights


def test_images_in_one_pass_or_one_by_one_make_no_difference(build_nano, samples, tmp_path):
    weighted = [replace(sample, weight=w) for sample, w in zip(samples, (1, 0.5, 2), strict=True)]
    losses, expected = trained(build_nano, weighted, tmp_path / "a.pt", images_per_pass=3)
    again, found = trained(build_nano, weighted, tmp_path / "b.pt", images_per_pass=1)
    assert again == pytest.approx(losses, abs=1e-5)
    # Adam makes a rounding error of a vanishing gradient visible, but no larger than a step.
    assert all(torch.allclose(found[name], expected[name], atol=1e-4) for name in expected)


def test_samples_that_are_not_kept_give_the_same_bits(build_nano, samples, tmp_path, monkeypatch):
    encoded = []
    real = training.encode
    monkeypatch.setattr(training, "encode", lambda *args: encoded.append(1) or real(*args))
    losses, expected = trained(build_nano, samples, tmp_path / "a.pt")
    assert len(encoded) == len(samples)
    monkeypatch.setattr(training, "KEPT_BYTES", 0)
    again, found = trained(build_nano, samples, tmp_path / "b.pt")
    assert len(encoded) == len(samples) + 6 * 3
    assert again == losses
    assert same(found, expected)


@pytest.mark.parametrize(("adapt", "looks"), [(["language"], 3), (["vision"], 6)])
def test_a_frozen_tower_sees_each_image_once_in_a_training(
    build_nano, samples, tmp_path, adapt, looks
):
    mllm = attach(build_nano(0), 2, 2, adapt, [], seed=1)
    calls = []
    # Below the tower's own forward, which a replay stands in for.
    towers.tower_of(mllm).encoder.register_forward_hook(lambda *_: calls.append(1))
    train(mllm, samples, replace(SCHEDULE, batch=3, images_per_pass=3), tmp_path / "a.pt")
    assert len(calls) == looks


def test_deterministic_fixes_seed_threads_and_kernels():
    try:
        training.deterministic(7, threads=1)
        first = torch.rand(3)
        training.deterministic(7, threads=1)
        assert torch.equal(torch.rand(3), first)
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
