"""bench-finetune (`make bench-finetune`, no stage): one turn a sample, and several turns an image.

The usual way makes a sample of every question and its answer: the image goes through processor,
tower and language model anew for each, and every token through the vocabulary. Ours keeps the turns
of an image together behind one look at it. Both train the same LoRA from the same base on the same
turns, equally many a step, so that their speeds are supervised tokens per second and their losses
on held-out images can be compared.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from medq_engine import adapter, phantom_lessons, training
from medq_engine.config import Finetune
from medq_engine.language import Sample
from medq_engine.models import mllm, towers
from medq_engine.vocabulary import Part
from pipeline import machine, models, paths, shapes, stage
from pipeline.usual import one_turn_step

IMAGES, HELD_OUT, EPOCHS = 384, 192, 2
LARGE_IMAGES, LARGE_PER_STEP = 4, 1
"""With SmolVLM-256M's shape a few steps tell its speed; nothing can be learnt in them."""
SETTLING = 1
"""Steps that are not timed: the first of a process are slower."""

Step = Callable[[Sequence[Sample]], tuple[torch.Tensor, int]]
Load = Callable[[], mllm.Mllm]


class Ours:
    """A step as `training.train` takes it: samples encoded once, turns behind one look."""

    def __init__(self, model: mllm.Mllm) -> None:
        self.model, self.loss = model, training.AnswerLoss(model)
        self.frozen = towers.frozen(model)
        self.kept: dict[int, training.EncodedSample] = {}

    def __call__(self, samples: Sequence[Sample]) -> tuple[torch.Tensor, int]:
        """Mean loss of a batch and its answer tokens."""
        for sample in samples:
            if id(sample) not in self.kept:
                self.kept[id(sample)] = training.encode(self.model, sample, self.frozen)
        batch = [self.kept[id(sample)] for sample in samples]
        tokens = int(training.tokens_of(batch))
        return self.loss(batch) / tokens, tokens


def run(
    model: mllm.Mllm, samples: Sequence[Sample], per_step: int, step: Step, learning_rate: float
) -> float:
    """Train on the samples in their order; supervised tokens per second."""
    model.model.train()
    trained = [p for p in model.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate)
    seconds = tokens = 0.0
    for start in range(0, len(samples), per_step):
        began = time.perf_counter()
        loss, count = step(samples[start : start + per_step])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if start >= SETTLING * per_step:
            seconds += time.perf_counter() - began
            tokens += count
    model.model.eval()
    return tokens / seconds


@torch.inference_mode()
def held_out_loss(model: mllm.Mllm, samples: Sequence[Sample]) -> np.ndarray:
    """Loss per answer token of each held-out image, in nats, shape (images,)."""
    ours = Ours(model)
    return np.array([float(ours([sample])[0]) for sample in samples])


def compare(
    name: str,
    fresh: Callable[[], mllm.Mllm],
    samples: Sequence[Sample],
    held_out: Sequence[Sample],
    per_step: int,
    learning_rate: float,
) -> None:
    """Train both ways from equal models on the same turns, in the same order; print the ratio."""
    usual, ours = fresh(), fresh()
    fast = run(ours, samples, per_step, Ours(ours), learning_rate)
    slow = run(usual, samples, per_step, partial(one_turn_step, usual), learning_rate)
    print(
        f"\n{name}: {len(samples)} images, {sum(len(s.turns) for s in samples)} turns\n"
        f"  one turn a sample {slow:.0f} answer tokens/s, several turns an image {fast:.0f}: "
        f"{fast / slow:.1f} x as fast",
        flush=True,
    )
    if held_out:
        losses = [held_out_loss(model, held_out) for model in (fresh(), usual, ours)]
        apart = losses[2] - losses[1]
        spread = 1.96 * apart.std(ddof=1) / np.sqrt(len(apart))
        before, one, several = (loss.mean() for loss in losses)
        print(
            f"  loss per answer token on {len(held_out)} held-out images: {before:.4f} before, "
            f"{one:.4f} and {several:.4f} after; difference {apart.mean():+.1e} "
            f"+- {spread:.1e} (95 %, images)",
            flush=True,
        )


def adapted(settings: Finetune, parts: Sequence[Part], seed: int, load: Load) -> mllm.Mllm:
    """A loaded model with a fresh adapter: LoRA on `parts`, nothing trained whole."""
    return adapter.attach(load(), settings.rank, settings.lora_alpha, parts, [], seed)


def main() -> None:
    params = paths.params()
    print(machine.described())
    # Phantoms with the faults that the base was not taught: there is something to learn.
    teaching = phantom_lessons.draw_phantoms(
        IMAGES + HELD_OUT, params.images.size, params.faults.rare, "bench-finetune"
    )
    samples = phantom_lessons.lessons(teaching, params.seed)
    taught, held_out = samples[:IMAGES], samples[IMAGES:]

    def large() -> mllm.Mllm:
        training.deterministic(params.seed, params.model.threads)
        return shapes.smolvlm_256m()

    small = partial(models.load, params, adapter=None)
    rate = params.finetune.learning_rate
    for parts in (["vision", "language"], ["language"]):
        about = "LoRA on " + " and ".join(parts)
        with_lora = partial(adapted, params.finetune, parts, params.seed)
        compare(
            f"nano, {about}",
            partial(with_lora, small),
            taught * EPOCHS,
            held_out,
            params.finetune.batch,
            rate,
        )
        compare(
            f"SmolVLM-256M's shape, random weights, {about}",
            partial(with_lora, large),
            taught[:LARGE_IMAGES],
            [],
            LARGE_PER_STEP,
            rate,
        )


if __name__ == "__main__":
    stage.run(main)
