"""Who answers an evaluation's questions, and how every evaluation asks them."""

from functools import cache
from pathlib import Path

from medq_engine.config import ENDPOINT, Endpoint, Params, remote
from medq_engine.endpoints.answer_store import AnswerStore
from medq_engine.endpoints.client import Client
from medq_engine.endpoints.endpoint_model import EndpointModel
from medq_engine.evaluation import Answers
from medq_engine.models.local_model import LocalModel
from pipeline import models, paths


def client(params: Params, name: str) -> Client:
    """A server of `endpoints`, with the answers that it has given so far.

    One for all parts that it takes in a stage: its limits are the stage's.
    """
    return _client(params.endpoints[name], (paths.ANSWERS / f"{name}.jsonl").absolute())


@cache
def _client(server: Endpoint, store: Path) -> Client:
    return Client(server, AnswerStore(store))


def model(params: Params, adapter: Path | None) -> Answers:
    """The model under evaluation: loaded with an adapter, or an endpoint, which takes none."""
    how = params.model
    if remote(how):
        return EndpointModel(
            client(params, how.id.removeprefix(ENDPOINT)),
            params.evaluate.repeats,
            params.evaluate.temperature,
            how.max_new_tokens,
            how.answer_format,
        )
    return LocalModel(
        models.load(params, adapter),
        how.images_per_batch,
        how.option_orders,
        how.max_new_tokens,
        params.seed,
    )


def settings(params: Params) -> dict[str, object]:
    """How every evaluation asks and judges: the same for all models that are compared."""
    judge = params.judge.endpoint
    return {
        **vars(params.evaluate),
        "two_images": params.model.two_images,
        "seed": params.seed,
        "judged_by": client(params, judge) if judge else None,
    }
