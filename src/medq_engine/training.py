"""Supervised fine-tuning on quality questions: token cross-entropy, several turns an image.

The same loop trains the nano base (all weights) and every round's LoRA adapter, on one process or
on many under `accelerate launch`. It can be killed at any step: batches are a pure function of the
seed and the step, and a checkpoint holds weights and optimiser, so a resumed run ends in the same
bits.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from medq_engine.language import Turn, prompt
from medq_engine.mllm import Mllm, encode_answer, encode_prompt, logits_of_answers
from medq_engine.simulation import seeded


@dataclass(frozen=True)
class Sample:
    """One image with everything that is taught about it; `weight` scales its loss."""

    image: Image.Image
    turns: tuple[Turn, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Args:
        steps: Optimiser steps.
        batch: Images a step, over all processes.
        turns: Questions drawn for each image of a batch; the image itself is encoded once.
        learning_rate: Peak of a cosine schedule that warms up over the first 5 % of the steps.
        weight_decay: AdamW's decoupled decay.
        seed: Order of images and choice of turns.
    """

    steps: int
    batch: int
    turns: int
    learning_rate: float
    weight_decay: float
    seed: int


@dataclass(frozen=True)
class EncodedSample:
    """A sample as tensors: image inputs, and (prompt ids, answer ids) of each turn."""

    image_inputs: dict[str, torch.Tensor]
    turns: tuple[tuple[list[int], list[int]], ...]
    weight: float


def encode(mllm: Mllm, sample: Sample) -> EncodedSample:
    """Tokenise every turn of a sample and keep its image tensors once."""
    turns = []
    for turn in sample.turns:
        text = prompt(turn.question, turn.options)
        ids, image_inputs = encode_prompt(mllm.processor, sample.image, text)
        turns.append((ids, encode_answer(mllm.processor, text, turn.answer)))
    return EncodedSample(image_inputs, tuple(turns), sample.weight)


@lru_cache(maxsize=2)
def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch visits `count` samples."""
    return seeded("epoch", seed, epoch).permutation(count)


def batch_at(count: int, schedule: Schedule, step: int) -> list[int]:
    """Indices of the samples of a step: epochs of seeded permutations, laid end to end."""
    positions = range(step * schedule.batch, (step + 1) * schedule.batch)
    return [int(permutation(count, schedule.seed, p // count)[p % count]) for p in positions]


def loss_of(
    mllm: Mllm, samples: Sequence[EncodedSample], turns: int, rng: np.random.Generator
) -> torch.Tensor:
    """Mean cross-entropy per answer token over `turns` drawn turns an image, weighted, in nats."""
    image_of_row, prompts, answers, weights = [], [], [], []
    for position, sample in enumerate(samples):
        drawn = rng.permutation(len(sample.turns))[:turns]
        for index in drawn:
            ids, answer = sample.turns[index]
            image_of_row.append(position)
            prompts.append(ids)
            answers.append(answer)
            weights.append(sample.weight)
    inputs = [sample.image_inputs for sample in samples]
    logp, mask = logits_of_answers(mllm, inputs, image_of_row, prompts, answers)
    weighted = mask * torch.tensor(weights, device=mask.device)[:, None]
    return -(logp * weighted).sum() / weighted.sum()


def train(
    mllm: Mllm,
    samples: Sequence[Sample],
    schedule: Schedule,
    checkpoint: Path,
    checkpoint_every: int = 50,
) -> list[float]:
    """Train the parameters that require gradients, in place; resume from `checkpoint` if it exists.

    Args:
        mllm: Model to train; frozen parameters stay as they are.
        samples: Training images with their turns.
        checkpoint: File of the unfinished run, rewritten every `checkpoint_every` steps. Name it by
            what the run depends on: a checkpoint of another run must not be picked up.

    Returns:
        Training loss of every step, in nats per answer token.

    Raises:
        ValueError: There is nothing to train on.
    """
    if not samples:
        raise ValueError("no training samples: see that annotate-import accepted any label")
    accelerator = Accelerator()
    trained = {n: p for n, p in mllm.model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(
        trained.values(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    warmup = max(1, schedule.steps // 20)
    scheduler = LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / schedule.steps))
        ),
    )
    losses: list[float] = []
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(state["weights"][name])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        losses = state["losses"]
    optimizer = accelerator.prepare(optimizer)
    mllm.model.train()

    encoded: dict[int, EncodedSample] = {}
    steps = tqdm(
        range(len(losses), schedule.steps),
        initial=len(losses),
        total=schedule.steps,
        desc="train",
        disable=not accelerator.is_local_main_process,
        mininterval=10,
    )
    for step in steps:
        # Each process takes its share of the same global batch, so that one process and many agree.
        mine = batch_at(len(samples), schedule, step)[
            accelerator.process_index :: accelerator.num_processes
        ]
        for index in mine:
            if index not in encoded:
                encoded[index] = encode(mllm, samples[index])
        rng = seeded("turns", schedule.seed, step, accelerator.process_index)
        loss = loss_of(mllm, [encoded[index] for index in mine], schedule.turns, rng)
        accelerator.backward(loss)
        if accelerator.num_processes > 1:
            for parameter in trained.values():
                parameter.grad = accelerator.reduce(parameter.grad, "mean")
        accelerator.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(float(accelerator.reduce(loss.detach(), "mean")))
        steps.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        last = step + 1 == schedule.steps
        if (step + 1) % checkpoint_every == 0 and not last and accelerator.is_main_process:
            save_checkpoint(checkpoint, trained, optimizer, scheduler, losses)
    mllm.model.eval()
    return losses


def save_checkpoint(
    path: Path,
    trained: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scheduler: LambdaLR,
    losses: list[float],
) -> None:
    """Write the run's state beside `path`, then rename: a kill leaves the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "weights": {name: parameter.detach() for name, parameter in trained.items()},
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "losses": losses,
        },
        partial,
    )
    os.replace(partial, path)


def deterministic(seed: int, threads: int) -> None:
    """Make torch repeatable: seed it, fix its threads, refuse kernels whose sums vary by run."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
