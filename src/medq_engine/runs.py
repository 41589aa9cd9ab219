"""Runs of MLflow: written once, completed where a step is missing, made anew where stale."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from medq_engine import registry
from medq_engine.closed import GATE, TEST, Closed, fetch_reports
from medq_engine.curves import Curve

if TYPE_CHECKING:  # heavy: imported where it is used
    from mlflow import MlflowClient
    from mlflow.entities import Run as Logged

NAME = "medq.name"
"""Tag: what a run is of; at most one run has it."""
KEY = "medq.key"
"""Tag: what it was made from; another key makes the run anew."""
DATASETS = {
    "data/benchmark/dev": "dev: failures come from it",
    GATE: "gate: decides",
    TEST: "test: only reported",
    "data/pool": "pool: searched for images to label",
    "data/annotations": "answers of people",
    "data/round/labels.parquet": "labels so far",
    "data/round/training.parquet": "training turns",
}
# A colour for each kind of curve, told apart with colour-blind eyes (Okabe and Ito 2008).
COLOURS = {
    "round": "#0072B2",
    "base": "#707070",
    "simulated GPT-4o": "#E69F00",
    "simulated expert": "#D55E00",
    "baseline": "#009E73",
}


@dataclass(frozen=True)
class Run:
    """A run to be logged.

    Attributes:
        curve: Its name, role, benchmark and points.
        key: Fingerprint of what it is made from.
        times: Time of each step, in ms since 1970.
        start: Time of the run, by which MLflow sorts.
        tags: Beside those that every run has.
        params: Values as text by dotted name.
        data: Contexts of datasets by path; those that `closed` has are logged.
        closed: The round whose commit names the data, and whose adapter and reports a round's run
            holds.
    """

    curve: Curve
    key: str
    times: Mapping[int, int]
    start: int
    closed: Closed
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the run is of: a round, or a baseline on one benchmark."""
        if self.curve.role == "round":
            return self.closed.tag
        return f"{self.curve.name} | {self.curve.benchmark}"


def ensure(
    store: "MlflowClient", experiment: str, run: Run, there: dict[str, list["Logged"]]
) -> tuple[str, bool]:
    """Log a run, or the steps that it lacks; its id, and True if it is new.

    A run that is not finished was left by a kill, one with another key is of a tag or table that
    was rewritten: both are removed first.

    Args:
        there: What the store has, by name (`logged_runs`); the new run is added.
    """
    for found in there.pop(run.name, []):
        run_id = found.info.run_id
        if found.info.status == "FINISHED" and found.data.tags[KEY] == run.key:
            history = store.get_metric_history(run_id, "accuracy")
            log_points(store, run_id, run, have={metric.step for metric in history})
            there.setdefault(run.name, []).append(found)
        else:
            remove(store, found)
    if run.name in there:
        return there[run.name][0].info.run_id, False
    made = store.create_run(
        experiment, start_time=run.start, tags=tags_of(run), run_name=run.curve.name
    )
    run_id = made.info.run_id
    log_params(store, run_id, run.params)
    log_data(store, run_id, run)
    model = None
    if run.curve.role == "round":
        model = registry.log_model(store, experiment, run_id, run.closed)
        log_artifacts(store, run_id, run.closed)
    log_points(store, run_id, run, model=model)
    store.set_terminated(run_id, end_time=run.start)
    there[run.name] = [store.get_run(run_id)]
    return run_id, True


def tags_of(run: Run) -> dict[str, str]:
    """What every run says of itself, with the tags of MLflow's own that its page shows."""
    return {
        NAME: run.name,
        KEY: run.key,
        "role": run.curve.role,
        "benchmark": run.curve.benchmark,
        "mlflow.note.content": run.curve.about,
        "mlflow.user": "medq",
        "mlflow.runColor": colour(run.curve),
        **run.tags,
    }


def colour(curve: Curve) -> str:
    """Of a curve by its name or its role; simulated people of another name have the expert's."""
    return COLOURS.get(curve.name) or COLOURS.get(curve.role) or COLOURS["simulated expert"]


def log_points(
    store: "MlflowClient",
    run_id: str,
    run: Run,
    have: Collection[int] = (),
    model: str | None = None,
) -> None:
    """Log the metrics of the steps that a run does not have, a step at once or not at all.

    What was measured in the last step is also the model's, with the split.
    """
    from mlflow.entities import Metric

    for step, point in run.curve.points.items():
        if step in have:
            continue
        metrics = []
        for name, value in point.items():
            of, split = {}, measured_on(name)
            if model is not None and step == run.closed.number and split:
                md5 = run.closed.hashes[split]
                of = {"model_id": model, "dataset_name": split, "dataset_digest": md5}
            metrics.append(Metric(name, value, run.times[step], step, **of))
        store.log_batch(run_id, metrics=metrics)


def measured_on(metric: str) -> str:
    """The split that a metric of an adapter was measured on; "" if it is no measurement of it."""
    section = metric.split("/")[0]
    if section in ("labels", "finetune", "x", "in_force"):
        return ""
    return GATE if section == "gate" else TEST


def log_params(store: "MlflowClient", run_id: str, params: Mapping[str, str]) -> None:
    """Log params, as many at once as MLflow takes."""
    from mlflow.entities import Param

    rows = [Param(name, value) for name, value in params.items()]
    for start in range(0, len(rows), 100):
        store.log_batch(run_id, params=rows[start : start + 100])


def log_data(store: "MlflowClient", run_id: str, run: Run) -> None:
    """Log what the run was made from and measured on: DVC's hash, and the commit that names it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for path, context in run.data.items():
        if path not in run.closed.data:
            continue
        entry = run.closed.data[path]
        dataset = Dataset(
            name=path,
            digest=entry["md5"],
            source_type="dvc",
            source=json.dumps({"path": path, "rev": run.closed.commit}),
            profile=json.dumps({k: v for k, v in entry.items() if k != "md5"}),
        )
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
    if inputs:
        store.log_inputs(run_id, inputs)


def log_artifacts(store: "MlflowClient", run_id: str, closed: Closed) -> None:
    """Log report, figures and model card; what DVC no longer has is named in a tag."""
    with tempfile.TemporaryDirectory() as folder:
        missing = fetch_reports(closed, Path(folder))
        if closed.card:
            (Path(folder) / "model-card.md").write_text(closed.card, encoding="utf-8")
        store.log_artifacts(run_id, folder)
    if missing:
        store.set_tag(run_id, "not_in_dvc", ", ".join(missing))


def logged_runs(store: "MlflowClient", experiment: str) -> dict[str, list["Logged"]]:
    """Runs of the experiment by what they are of; more than one only after a kill."""
    found, token = defaultdict(list), ""
    while token is not None:
        page = store.search_runs([experiment], page_token=token)
        for run in page:
            found[run.data.tags.get(NAME, "")].append(run)
        token = page.token or None
    return dict(found)


def remove(store: "MlflowClient", run: "Logged") -> None:
    """Delete a run with the model that it logged."""
    registry.forget_models(store, run.info.experiment_id, run.info.run_id)
    store.delete_run(run.info.run_id)
