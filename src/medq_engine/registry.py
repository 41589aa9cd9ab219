"""Adapters in MLflow's registry: a version a round, `champion` the last one that passed.

No weights are uploaded: a version names the commit and the DVC path that hold them.
"""

from typing import TYPE_CHECKING

from medq_engine.closed import ADAPTER, Closed
from medq_engine.gate import interval
from medq_engine.statistics import Difference

if TYPE_CHECKING:  # heavy: imported where it is used
    from mlflow import MlflowClient

MODEL = "medq-engine-adapter"
CHAMPION = "champion"


def log_model(store: "MlflowClient", experiment: str, run_id: str, closed: Closed) -> str:
    """Log a round's adapter as an external model, the output of its run; the model's id."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.utils.mlflow_tags import MLFLOW_MODEL_IS_EXTERNAL

    model = store.create_logged_model(
        experiment,
        name=f"adapter-{closed.tag}",
        source_run_id=run_id,
        tags={**tags_of(closed), MLFLOW_MODEL_IS_EXTERNAL: "true"},
        params={"source": source(closed)},
        model_type="LoRA adapter",
    )
    store.log_outputs(run_id, [LoggedModelOutput(model.model_id, closed.number)])
    store.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return model.model_id


def register(store: "MlflowClient", closed: Closed, run_id: str) -> None:
    """Register a round's adapter once; move `champion` to it if it passed and is the newest to.

    A version of the same round from another commit is of a tag that was rewritten, and goes.
    """
    if not store.search_registered_models(f"name = '{MODEL}'"):
        store.create_registered_model(
            MODEL,
            description=(
                "LoRA adapters of MedQ-Engine, one version a round. `champion` is the last whose "
                "verdict is pass. The weights lie in DVC: `dvc get . models/challenger --rev TAG`."
            ),
        )
    versions = {v.tags["round"]: v for v in store.search_model_versions(f"name = '{MODEL}'")}
    version = versions.get(str(closed.number))
    if version is not None and version.tags["commit"] != closed.commit:
        store.delete_model_version(MODEL, version.version)
        version = None
    if version is None:
        gate = closed.gate
        version = store.create_model_version(
            MODEL,
            source(closed),
            run_id=run_id,
            tags=tags_of(closed),
            description=f"{closed.tag}: {gate['verdict']}, {gate['reason']}.",
            await_creation_for=0,
        )
    if closed.passed and champion_round(store) < closed.number:
        store.set_registered_model_alias(MODEL, CHAMPION, version.version)


def champion_round(store: "MlflowClient") -> int:
    """Number of the champion's round; 0 where there is none."""
    aliases = store.get_registered_model(MODEL).aliases
    if CHAMPION not in aliases:
        return 0
    return int(store.get_model_version(MODEL, aliases[CHAMPION]).tags["round"])


def source(closed: Closed) -> str:
    """Where the adapter's weights lie, as DVC's file system names it."""
    return f"dvc://{ADAPTER}?rev={closed.commit}"


def tags_of(closed: Closed) -> dict[str, str]:
    """What an auditor asks of a version."""
    return {
        "round": str(closed.number),
        "commit": closed.commit,
        "verdict": closed.gate["verdict"],
        "gate_difference": interval(Difference(**closed.difference)),
        "md5": closed.hashes[ADAPTER],
        "benchmark": closed.benchmark,
        "annotators": "simulated" if closed.simulated else "people",
    }


def forget_models(store: "MlflowClient", experiment: str, run_id: str) -> None:
    """Delete what a run logged as models."""
    for model in store.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        store.delete_logged_model(model.model_id)


def clear(store: "MlflowClient") -> None:
    """Delete the registered model with all versions and aliases."""
    if store.search_registered_models(f"name = '{MODEL}'"):
        store.delete_registered_model(MODEL)
