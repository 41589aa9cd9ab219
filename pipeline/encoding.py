"""The model whose vision tower embeds images, for the stages that embed."""

from typing import TYPE_CHECKING

from medq_engine.config import Params

if TYPE_CHECKING:
    from medq_engine.models.mllm import Mllm


def encoder(params: Params) -> "Mllm | None":
    """The bare model under evaluation; None if embedding needs no model."""
    if params.embeddings.encoder != "vision-tower":
        return None
    # torch takes seconds to import, and image statistics do without.
    from pipeline import models

    return models.load(params, adapter=None)
