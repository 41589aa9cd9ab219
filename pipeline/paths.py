"""Where things are, from the root of the repository, and the params of the round."""

from pathlib import Path

from medq_engine.config import Params, load_params

PARAMS = Path("params.yaml")
WORK = Path(".work")  # scratch of unfinished runs; safe to delete

MANIFEST = Path("data/sources.toml")
SCENES = Path("data/images/scenes.parquet")
BENCHMARK = Path("data/benchmark")
HASHES = BENCHMARK / "hashes.parquet"
POOL = Path("data/pool")
ORACLE = Path("data/oracle/truth.parquet")
DRAFTS = Path("data/drafts.parquet")
EMBEDDINGS = Path("data/embeddings")
HISTORY = Path("data/history.parquet")
LEDGER = Path("data/ledger.json")  # what the rounds before have cost
PAYOFFS = Path("data/payoffs.parquet")  # and what their labels brought on dev, by kind
QUEUE = Path("data/queue")
ANNOTATIONS = Path("data/annotations")
BASELINES = Path("data/baselines")
ANSWERS = Path("data/answers")  # raw answers of endpoints, in git

BASE = Path("models/base")
REPLAY = Path("models/replay.parquet")
CURRENT = Path("models/current")
CHALLENGER = Path("models/challenger")

ROUND = Path("data/round")
PREDICTIONS = ROUND / "predictions.parquet"
PROTOTYPES = ROUND / "prototypes.parquet"
CANDIDATES = ROUND / "candidates.parquet"
TASKS = ROUND / "tasks.parquet"
LABELS = ROUND / "labels.parquet"
TRAINING = ROUND / "training.parquet"

METRICS = Path("metrics")
REPORTS = Path("reports")
FIGURES = REPORTS / "figures"
PLOTS = REPORTS / "plots"  # rows that DVC draws (dvc.yaml: plots)


def params() -> Params:
    """The checked params.yaml."""
    return load_params(PARAMS)
