"""How stages load the model under evaluation, and how every evaluation asks it."""

from pathlib import Path

from medq_engine import mllm, training
from medq_engine.config import Model, Params


def load(settings: Model, seed: int, adapter: Path | None) -> mllm.Mllm:
    """The model under evaluation with an adapter, or bare; torch is set up to be repeatable."""
    training.deterministic(seed, settings.threads)
    return mllm.load(settings.id, adapter, settings.dtype)


def answering(params: Params) -> dict[str, object]:
    """How every evaluation asks: the same for all models that are compared."""
    return {
        **vars(params.evaluate),
        "seed": params.seed,
        "images_per_batch": params.model.images_per_batch,
        "max_new_tokens": params.model.max_new_tokens,
    }
