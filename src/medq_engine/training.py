"""Supervised fine-tuning on quality questions: token cross-entropy, several turns an image.

The same loop trains the nano base (all weights) and every round's LoRA adapter, on one process or
on many under `accelerate launch`: every process takes its share of the same global batch, and the
loss is the mean over that batch's tokens, so the number of processes does not change the result. It
can be killed at any step: batches are a pure function of the seed and the step, and a checkpoint
holds weights and optimiser, so a resumed run ends in the same bits.
"""

import math
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from medq_engine.errors import MedqError
from medq_engine.language import Sample, prompt, reply
from medq_engine.models import towers
from medq_engine.models.mllm import Mllm, Shown, encode_answer, encode_question, show
from medq_engine.models.shared_prefix import Asked, Row, log_probabilities
from medq_engine.simulation import seeded

# Encoded samples are kept between epochs up to this; beyond it they are encoded anew each time.
KEPT_BYTES = 4 * 2**30


class TrainingError(MedqError):
    """A training run cannot start; the message says what to change."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Args:
        steps: Optimiser steps.
        batch: Images a step, over all processes.
        images_per_pass: How many of a process's share go through the model at once.
        turns: Questions drawn for each image of a batch; the image itself is encoded once.
        learning_rate: Peak of a cosine schedule that warms up over the first 5 % of the steps.
        weight_decay: AdamW's decoupled decay.
        seed: Order of images and choice of turns.
    """

    steps: int
    batch: int
    images_per_pass: int
    turns: int
    learning_rate: float
    weight_decay: float
    seed: int


@dataclass(frozen=True)
class EncodedSample:
    """A sample as tensors: its image and its turns."""

    shown: Shown
    turns: tuple[Asked, ...]
    weight: float

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return sum(t.nbytes for t in self.shown.tensors.values()) + towers.size(self.shown.seen)


def encode(mllm: Mllm, sample: Sample, frozen_tower: bool = False) -> EncodedSample:
    """Tokenise every turn of a sample; a frozen tower looks at its image now and never again."""
    form = mllm.answer_format
    shown = show(mllm.processor, [sample.image])
    turns = tuple(
        Asked(
            encode_question(mllm.processor, prompt(turn.question, turn.options, form)),
            (encode_answer(mllm.processor, reply(turn.options, turn.answer, form)),),
        )
        for turn in sample.turns
    )
    if frozen_tower:
        shown = replace(shown, seen=towers.look(mllm, shown))
    return EncodedSample(shown, turns, sample.weight)


@lru_cache(maxsize=2)
def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch visits `count` samples."""
    return seeded("epoch", seed, epoch).permutation(count)


def batch_at(count: int, schedule: Schedule, step: int) -> list[int]:
    """Indices of the samples of a step: epochs of seeded permutations, laid end to end."""
    positions = range(step * schedule.batch, (step + 1) * schedule.batch)
    return [int(permutation(count, schedule.seed, p // count)[p % count]) for p in positions]


def draw_turns(samples: Sequence[Sample], schedule: Schedule, step: int) -> list[list[int]]:
    """Which turns of each sample of a step's batch are taught."""
    rng = seeded("turns", schedule.seed, step, 0)
    return [rng.permutation(len(sample.turns))[: schedule.turns].tolist() for sample in samples]


class AnswerLoss(torch.nn.Module):
    """Summed, weighted cross-entropy of answer tokens, in nats.

    A module, so that whatever wraps models for many processes (DDP, FSDP) wraps the whole
    computation.
    """

    def __init__(self, mllm: Mllm) -> None:
        super().__init__()
        self.model = mllm.model
        self.mllm = mllm
        # FSDP shards these as one piece each; models name some that they only have in part.
        has = {type(module).__name__ for module in mllm.model.modules()}
        self._no_split_modules = [n for n in mllm.base._no_split_modules or () if n in has]

    def forward(self, samples: Sequence[EncodedSample]) -> torch.Tensor:
        """The sum over all turns of the samples."""
        rows = [Row(sample.shown, sample.turns) for sample in samples]
        weights = [sample.weight for sample in samples for _ in sample.turns]
        logp, mask = log_probabilities(self.mllm, rows)
        return -(logp * mask * torch.tensor(weights, device=mask.device)[:, None]).sum()


@dataclass(frozen=True)
class Trained:
    """What a training left.

    Attributes:
        losses: Loss of every step, in nats per answer token.
        weights: State of the trained model by parameter name, gathered from all processes; filled
            in on the main process.
        main: True on the process that writes the results.
    """

    losses: list[float]
    weights: dict[str, torch.Tensor]
    main: bool


def tokens_of(samples: Sequence[EncodedSample]) -> float:
    """Weighted number of answer tokens: what the summed loss is divided by."""
    return sum(
        sample.weight * len(answer)
        for sample in samples
        for asked in sample.turns
        for answer in asked.answers
    )


def train(
    mllm: Mllm,
    samples: Sequence[Sample],
    schedule: Schedule,
    checkpoint: Path,
    checkpoint_every: int = 50,
) -> Trained:
    """Train the parameters that require gradients, in place; resume from `checkpoint` if it exists.

    Args:
        mllm: Model to train; frozen parameters stay as they are.
        samples: Training images with their turns.
        schedule: How long and how fast.
        checkpoint: File of the unfinished run, rewritten every `checkpoint_every` steps. Name it by
            what the run depends on: a checkpoint of another run must not be picked up. Sharded
            weights (FSDP, DeepSpeed) are not checkpointed.

    Raises:
        TrainingError: There is nothing to train on, or the batch cannot be shared out evenly.
    """
    if not samples:
        raise TrainingError(
            "no training samples: no accepted label has a route with a weight above 0 "
            "(finetune.route_weight)"
        )
    # A tower's last layers may be unused (LLaVA reads the last but one): DDP must be told.
    accelerator = Accelerator(
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
    )
    processes = accelerator.num_processes
    if schedule.batch % processes:
        raise TrainingError(
            f"finetune.batch is {schedule.batch}, which {processes} processes cannot share evenly"
        )
    sharded = accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)
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
    objective, optimizer = accelerator.prepare(AnswerLoss(mllm), optimizer)
    objective.train()
    frozen_tower = towers.frozen(mllm) and not sharded

    kept: dict[int, EncodedSample] = {}
    room = KEPT_BYTES
    steps = tqdm(
        range(len(losses), schedule.steps),
        initial=len(losses),
        total=schedule.steps,
        desc="train",
        mininterval=10,
        disable=not accelerator.is_main_process,
    )
    for step in steps:
        batch = batch_at(len(samples), schedule, step)
        drawn = draw_turns([samples[index] for index in batch], schedule, step)
        share = slice(accelerator.process_index, None, processes)
        mine = []
        for index, turns in zip(batch[share], drawn[share], strict=True):
            sample = kept.get(index) or encode(mllm, samples[index], frozen_tower)
            if index not in kept and sample.nbytes <= room:
                kept[index] = sample
                room -= sample.nbytes
            mine.append(replace(sample, turns=tuple(sample.turns[turn] for turn in turns)))
        tokens = torch.tensor(tokens_of(mine), device=accelerator.device)
        total = accelerator.reduce(tokens, "sum")
        summed = torch.zeros((), device=accelerator.device)
        for start in range(0, len(mine), schedule.images_per_pass):
            stop = start + schedule.images_per_pass
            accelerator.sync_gradients = stop >= len(mine)
            with nullcontext() if accelerator.sync_gradients else accelerator.no_sync(objective):
                loss = objective(mine[start:stop])
                # Gradients are averaged over the processes; this makes their mean the batch's mean.
                accelerator.backward(loss * processes / total)
            summed += loss.detach()
        accelerator.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(float(accelerator.reduce(summed, "sum") / total))
        steps.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        last = step + 1 == schedule.steps
        due = (step + 1) % checkpoint_every == 0 and not last and not sharded
        if due and accelerator.is_main_process:
            save_checkpoint(checkpoint, trained, optimizer, scheduler, losses)
    mllm.model.eval()
    weights = accelerator.get_state_dict(objective)
    weights = {name.removeprefix("model."): tensor for name, tensor in (weights or {}).items()}
    return Trained(losses, weights, accelerator.is_main_process)


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
    # Processes of one machine share its cores: more threads than cores is a ten-fold loss.
    torch.set_num_threads(max(1, threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    # What CUDA asks for before it repeats its sums; some of its kernels never do, and only warn.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
