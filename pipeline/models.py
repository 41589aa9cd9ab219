"""How stages load the model under evaluation."""

from pathlib import Path

from medq_engine import training
from medq_engine.config import Params, remote
from medq_engine.models import mllm


def load(params: Params, adapter: Path | None) -> mllm.Mllm:
    """The model under evaluation with an adapter, or bare; torch is set up to be repeatable.

    Raises:
        ModelError: It cannot be loaded, or it is an endpoint, whose weights nobody here has.
    """
    settings = params.model
    if remote(settings):
        raise mllm.ModelError(
            f"model.id is {settings.id}: an endpoint answers questions, but its weights cannot be "
            "fine-tuned or looked into. The loop ends at annotate-import "
            "(`dvc repro annotate-import`), with data/round/training.parquet as what was learnt."
        )
    training.deterministic(params.seed, settings.threads)
    return mllm.load(
        settings.id, adapter, settings.dtype, settings.quantize, settings.answer_format
    )
