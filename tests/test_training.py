from dataclasses import replace

import numpy as np
import pytest
import torch

from medq_engine import training
from medq_engine.adapter import attach
from medq_engine.descriptions import turns
from medq_engine.language import Finding, Turn
from medq_engine.training import Sample, Schedule, batch_at, encode, loss_of, train

SCHEDULE = Schedule(steps=6, batch=2, turns=2, learning_rate=1e-3, weight_decay=0.01, seed=1)


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
    """Raise in place of the loss of a step, counted from 0."""
    real, calls = loss_of, []

    def dying(*args):
        calls.append(1)
        if len(calls) > step:
            raise KilledError
        return real(*args)

    monkeypatch.setattr(training, "loss_of", dying)


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
    losses = train(whole, samples, SCHEDULE, tmp_path / "a.pt", checkpoint_every=2)

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
    assert again == losses
    assert same(weights(resumed), weights(whole))


def test_a_resumed_adapter_has_the_same_bits(build_nano, samples, tmp_path, monkeypatch):
    def fresh():
        return attach(build_nano(0), 2, 2, ".*q_proj", ["modality_projection"], seed=1)

    whole, killed, resumed = fresh(), fresh(), fresh()
    train(whole, samples, SCHEDULE, tmp_path / "a.pt", checkpoint_every=2)
    with monkeypatch.context() as patch:
        kill_at(patch, step=3)
        with pytest.raises(KilledError):
            train(killed, samples, SCHEDULE, tmp_path / "b.pt", checkpoint_every=2)
    train(resumed, samples, SCHEDULE, tmp_path / "b.pt", checkpoint_every=2)
    assert same(weights(resumed), weights(whole))


def test_only_the_adapter_is_trained(build_nano, samples, tmp_path):
    mllm = attach(build_nano(0), 2, 2, ".*q_proj", [], seed=1)
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
    losses = train(build_nano(0), samples, schedule, tmp_path / "a.pt")
    assert len(losses) == 25
    assert np.mean(losses[-3:]) < 0.6 * losses[0]


def test_nothing_to_train_on_is_refused(nano_model, tmp_path):
    with pytest.raises(ValueError, match="no training samples"):
        train(nano_model, [], SCHEDULE, tmp_path / "a.pt")


def one_turn(image, answer: str, weight: float = 1.0) -> Sample:
    return Sample(image, (Turn("Is it?", ("Yes", "No"), answer),), weight)


def loss(mllm, samples) -> float:
    encoded = [encode(mllm, sample) for sample in samples]
    with torch.inference_mode():
        return float(loss_of(mllm, encoded, 1, np.random.default_rng(0)))


def test_the_loss_is_the_mean_over_answer_tokens_weighted_by_sample(nano_model, noise_images):
    yes, no = (one_turn(noise_images[i], answer) for i, answer in enumerate(("Yes", "No")))
    tokens = [len(encode(nano_model, sample).turns[0][1]) for sample in (yes, no)]
    each = [loss(nano_model, [sample]) for sample in (yes, no)]
    expected = np.average(each, weights=tokens)
    assert loss(nano_model, [yes, no]) == pytest.approx(expected, abs=1e-5)
    trusted = [replace(yes, weight=1.0), replace(no, weight=0.25)]
    expected = np.average(each, weights=[tokens[0], 0.25 * tokens[1]])
    assert loss(nano_model, trusted) == pytest.approx(expected, abs=1e-5)


def test_no_more_turns_are_drawn_than_asked_for(nano_model, samples, monkeypatch):
    rows = []
    real = training.logits_of_answers

    def counting(mllm, inputs, image_of_row, prompts, answers):
        rows.append(image_of_row)
        return real(mllm, inputs, image_of_row, prompts, answers)

    monkeypatch.setattr(training, "logits_of_answers", counting)
    encoded = [encode(nano_model, sample) for sample in samples[:2]]
    for wanted in (1, 2, 99):
        loss_of(nano_model, encoded, wanted, np.random.default_rng(0))
    assert [len(r) for r in rows] == [2, 4, sum(len(s.turns) for s in samples[:2])]
    assert rows[0] == [0, 1]


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
