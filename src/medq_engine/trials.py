"""Trial runs for `medq doctor`: read the processor, put one question, train one step.

Each is a function of the params that says what it found, or raises what went wrong.
"""

import math
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from medq_engine import adapter, estimates, phantoms, questions, training
from medq_engine.config import Model, Params
from medq_engine.errors import MedqError
from medq_engine.language import Turn, question
from medq_engine.models import mllm, scoring
from medq_engine.models.processors import load_processor
from medq_engine.profiles import Shape
from medq_engine.simulation import seeded

PIXELS = 96


class TrialError(MedqError):
    """The model ran and gave what no model may give."""


def trials(shape: Shape | None) -> Mapping[str, Callable[[Params], str]]:
    """The trials in the order in which they make sense; `shape`, where known, adds a forecast."""
    loaded = cache(_load)
    return {
        "processor": lambda params: processor(params.model),
        "chat template": lambda params: chat_template(params.model),
        "forward pass": lambda params: forward(loaded(params.model)),
        "training step": lambda params: step(loaded(params.model), params),
        **({"speed": lambda params: forecast(params, shape)} if shape else {}),
    }


def _load(model: Model) -> mllm.Mllm:
    torch.set_num_threads(model.threads)
    return mllm.load(
        model.id, dtype=model.dtype, quantize=model.quantize, answer_format=model.answer_format
    )


def phantom() -> Image.Image:
    """The picture that is shown: a synthetic fundus, RGB."""
    pixels = phantoms.draw("fundus", PIXELS, seeded("doctor"))
    return Image.fromarray((255 * np.clip(pixels, 0, 1)).astype(np.uint8))


def processor(model: Model) -> str:
    """The processor loads and takes a picture."""
    read = load_processor(model.id)
    shown = mllm.show(read, [phantom()])
    return f"{type(read).__name__}, {len(shown.ids)} tokens for an image"


def chat_template(model: Model) -> str:
    """The template writes an answer as the continuation of its own prompt."""
    read = load_processor(model.id)
    return f"an answer ends as {mllm.render(read, 'Is it sharp?', 'Yes')!r}"


def forward(subject: mllm.Mllm) -> str:
    """One question about one phantom has probabilities."""
    text, options = question("how", "fundus")
    start = time.perf_counter()
    (scored,) = scoring.score(subject, [phantom()], [questions.Query((0,), text, options)])
    took = time.perf_counter() - start
    if not math.isclose(scored.probabilities.sum(), 1, abs_tol=1e-3):
        raise TrialError(f"the probabilities of {options} are {scored.probabilities}")
    return f"one question in {took:.2g} s"


def step(subject: mllm.Mllm, params: Params) -> str:
    """A fresh adapter of the params takes one step; the loss is a number."""
    tuned = params.finetune
    learner = adapter.attach(
        subject,
        tuned.rank,
        tuned.lora_alpha,
        tuned.adapt,
        tuned.train_whole,
        params.seed,
        tuned.gradient_checkpointing,
    )
    turns = (Turn(*question("how", "fundus"), "None"),) * tuned.turns
    one = {"steps": 1, "batch": 1, "images_per_pass": 1, "turns": tuned.turns}
    schedule = training.Schedule(
        **one, learning_rate=tuned.learning_rate, weight_decay=tuned.weight_decay, seed=params.seed
    )
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        sample = training.Sample(phantom(), turns)
        (loss,) = training.train(learner, [sample], schedule, Path(folder) / "step.pt").losses
    took = time.perf_counter() - start
    if not math.isfinite(loss):
        raise TrialError(f"the loss is {loss}: try model.dtype: float32")
    count = adapter.trainable(learner)
    return f"{count / 1e6:.3g} M weights trained on one image in {took:.2g} s, loss {loss:.2f}"


def forecast(params: Params, shape: Shape) -> str:
    """Time of a thousand items and of fine-tuning, from this device's speed in products."""
    peak = peak_flops(params.model.dtype)
    items = estimates.seconds(1000 * estimates.item_flops(shape), peak)
    tuned = params.finetune
    steps = estimates.seconds(tuned.steps * estimates.step_flops(shape, tuned), peak)
    return (
        f"{peak / 1e9:,.0f} GFLOP/s in matrix products: 1,000 items in about "
        f"{estimates.duration(items)}, {tuned.steps} steps in about {estimates.duration(steps)} "
        "(estimates)"
    )


def peak_flops(dtype: str, size: int = 1024, repeats: int = 8) -> float:
    """FLOP/s of square matrix products on the device, measured."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    matrix = torch.ones(size, size, dtype=getattr(torch, dtype), device=device)

    def multiply() -> None:
        # Fetching a number waits for a GPU to be done.
        torch.mm(matrix, matrix)[0, 0].item()

    multiply()
    start = time.perf_counter()
    for _ in range(repeats):
        multiply()
    return 2 * size**3 * repeats / (time.perf_counter() - start)
