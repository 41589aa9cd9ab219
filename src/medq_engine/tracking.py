"""MLflow: every closed round beside the baselines, logged once, from committed files.

A run is found by its key (round and lock digest), so logging a round again changes nothing. The
store is
derived: git and DVC hold the truth.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

EXPERIMENT = "medq-engine"
EMBEDDED = "embedded benchmark, test"
KEY = "medq.key"


def flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers of nested metrics with slash-joined names; what is no number is passed over."""
    for name, value in values.items():
        here = f"{prefix}/{name}" if prefix else str(name)
        if isinstance(value, Mapping):
            yield from flat(value, here)
        elif isinstance(value, bool) or value is None:
            continue
        elif isinstance(value, int | float):
            yield here.replace("(", "").replace(")", ""), float(value)


def client(root: Path) -> "mlflow.MlflowClient":  # noqa: F821 - imported late, it is heavy
    """A client of MLFLOW_TRACKING_URI, or of the SQLite store in the repository."""
    from mlflow import MlflowClient

    return MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}")


def experiment_id(store: "mlflow.MlflowClient", root: Path) -> str:  # noqa: F821
    """The experiment of this project, made when it is missing."""
    found = store.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return found.experiment_id
    local = not os.environ.get("MLFLOW_TRACKING_URI")
    location = (root / "mlartifacts").as_uri() if local else None
    return store.create_experiment(EXPERIMENT, artifact_location=location)


def log_run(
    store: "mlflow.MlflowClient",  # noqa: F821
    experiment: str,
    name: str,
    key: str,
    tags: Mapping[str, str],
    params: Mapping[str, object],
    metrics: Mapping[str, float],
    step: int,
    artifacts: Sequence[Path] = (),
) -> bool:
    """Log a run unless one with this key is finished; True if it was logged now.

    A run of the same key that never finished is removed first, so a kill while logging leaves no
    half.
    """
    found = store.search_runs([experiment], f"tags.`{KEY}` = '{key}'")
    if any(run.info.status == "FINISHED" for run in found):
        return False
    for run in found:
        store.delete_run(run.info.run_id)
    run = store.create_run(experiment, tags={**tags, KEY: key}, run_name=name)
    run_id = run.info.run_id
    for param, value in params.items():
        store.log_param(run_id, param, value)
    for metric, value in metrics.items():
        store.log_metric(run_id, metric, value, step=step)
    for path in artifacts:
        store.log_artifact(run_id, str(path))
    store.set_terminated(run_id)
    return True


def leaves(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Params as dotted names with their values as text."""
    for name, value in values.items():
        here = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(value, Mapping):
            yield from leaves(value, here)
        else:
            yield here, str(value)[:500]


def log_round(
    root: Path,
    params: Mapping[str, object],
    metrics: Mapping[str, Mapping[str, object]],
    commit: str,
    lock_digest: str,
    artifacts: Sequence[Path],
) -> bool:
    """Log a closed round (its challenger on the embedded test split); True if it was logged now.

    Args:
        params: params.yaml as a dict.
        metrics: Contents of metrics/*.json by stem.
    """
    store = client(root)
    experiment = experiment_id(store, root)
    gate = metrics["gate"]
    numbers = dict(flat(gate["test"]["challenger"]))
    numbers |= dict(flat(gate["gate"]["overall"], "gate"))
    numbers |= dict(flat(gate["test"]["overall"], "gain"))
    numbers |= dict(flat(metrics["annotate_import"], "labels"))
    numbers |= dict(flat(metrics["finetune"], "finetune"))
    tags = {
        "role": "round",
        "round": str(params["round"]),
        "benchmark": EMBEDDED,
        "verdict": gate["verdict"],
        "commit": commit,
        "dvc_lock": lock_digest,
        "annotators": "simulated" if params["simulated"] else "people",
    }
    return log_run(
        store,
        experiment,
        name=str(params["tag"]),
        key=f"{params['tag']}-{lock_digest}",
        tags=tags,
        params=dict(leaves({k: v for k, v in params.items() if k != "simulated"})),
        metrics=numbers,
        step=int(params["round"]),
        artifacts=artifacts,
    )


def log_baselines(
    root: Path,
    base: Mapping[str, object] | None,
    simulated: Mapping[str, Mapping[str, object]],
    published: Mapping[str, object],
    lock_digest: str,
) -> int:
    """Log baselines as runs of role `baseline`; how many are new.

    The base and the simulated annotators stand on the embedded benchmark. Published rows keep their
    own benchmark's name: they are comparable with each other and with nothing else here.
    """
    store = client(root)
    experiment = experiment_id(store, root)
    rows = [(name, EMBEDDED, values, lock_digest) for name, values in simulated.items()]
    if base is not None:
        rows.append(("base model", EMBEDDED, base, lock_digest))
    names = {"yes_no": "accuracy_by/question_type/yes-no", "overall": "accuracy"}
    for row in published["rows"]:
        values = {
            names.get(k, f"accuracy_by/question_type/{k}"): v / 100
            for k, v in row.items()
            if k != "model"
        }
        rows.append((row["model"], published["benchmark"], values, "published"))
    logged = 0
    for name, benchmark, values, digest in rows:
        tags = {"role": "baseline", "benchmark": benchmark}
        logged += log_run(
            store,
            experiment,
            name=name,
            key=f"{name}-{digest}",
            tags=tags,
            params={},
            metrics=dict(flat(values)),
            step=0,
        )
    return logged
