"""Commands as they are typed in the working directory, a repository in round 1."""

from pathlib import Path

import pytest

from medq_engine import cli
from medq_engine.config import Params, load_params

REPOSITORY = Path(__file__).parents[2]
QUEUE = Path("data/queue/round-001.jsonl")
ANSWERS = Path("data/annotations/round-001.jsonl")


def params() -> Params:
    return load_params(Path("params.yaml"))


def refused(*words: str) -> str:
    """What a refused command prints on stderr."""
    with pytest.raises(SystemExit) as stop:
        cli.main(list(words))
    # A text as the code: the interpreter prints it on stderr and exits with 1.
    assert isinstance(stop.value.code, str)
    return stop.value.code
