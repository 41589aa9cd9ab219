"""A model under evaluation on this machine, asked as `evaluation.Answers` asks."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from medq_engine.models.generation import generate
from medq_engine.models.mllm import Mllm
from medq_engine.models.scoring import score
from medq_engine.questions import Query, Scored


@dataclass(frozen=True)
class LocalModel:
    """A loaded model with the settings of its use (params.yaml: model)."""

    mllm: Mllm
    images_per_batch: int
    option_orders: int
    max_new_tokens: int
    seed: int

    def score(
        self, images: Mapping[Hashable, Image.Image], queries: Sequence[Query]
    ) -> list[Scored]:
        """Exact option probabilities."""
        return score(self.mllm, images, queries, self.images_per_batch, self.option_orders)

    def generate(
        self, images: Sequence[Image.Image], text: str, temperature: float, repeats: int
    ) -> list[list[tuple[str, float]]]:
        """For each image, `repeats` answers to an open question with their mean token NLL."""
        return generate(
            self.mllm,
            images,
            text,
            self.max_new_tokens,
            self.images_per_batch,
            temperature,
            repeats,
            self.seed,
        )
