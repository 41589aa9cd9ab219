from collections.abc import Mapping

from medq_engine.tracking import (
    EMBEDDED,
    KEY,
    client,
    experiment_id,
    flat,
    leaves,
    log_baselines,
    log_round,
)

PARAMS = {"round": 1, "tag": "round-001", "simulated": True, "route": {"agreement": 0.5}}
TEST = {"overall": {"value": 0.1}, "challenger": {"accuracy": 0.7, "items": 10}}
METRICS: Mapping[str, Mapping[str, object]] = {
    "gate": {"verdict": "pass", "gate": {"overall": {"value": 0.2}}, "test": TEST},
    "annotate_import": {"round": 5},
    "finetune": {"steps": 3},
}
PUBLISHED = {
    "benchmark": "MedQ-Bench",
    "rows": [
        {"model": "GPT-4o", "yes_no": 78.0, "overall": 64.0},
        {"model": "human", "overall": 8},
    ],
}


def test_metrics_are_flat_numbers():
    nested = {"a": {"b (%)": 1, "c": None, "d": True, "e": "text"}, "f": 2.5}
    assert dict(flat(nested)) == {"a/b %": 1.0, "f": 2.5}


def test_params_are_dotted_texts():
    assert dict(leaves({"a": {"b": 1}, "c": [1, 2]})) == {"a.b": "1", "c": "[1, 2]"}


def test_rounds_and_baselines_are_logged_once(tmp_path, monkeypatch):
    # One test for the whole store: MLflow takes seconds to import and to make a database.
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    report = tmp_path / "report.html"
    report.write_text("report")

    def log(digest: str) -> bool:
        return log_round(tmp_path, PARAMS, METRICS, "commit", digest, [report])

    def logged() -> list:
        return store.search_runs([experiment])

    store = client(tmp_path)
    experiment = experiment_id(store, tmp_path)
    assert experiment_id(store, tmp_path) == experiment

    # A kill while logging left half a run of the same key.
    half = store.create_run(experiment, tags={KEY: "round-001-lock"}).info.run_id
    assert log("lock")
    assert not log("lock")
    (run,) = logged()
    assert run.info.run_id != half
    assert run.info.status == "FINISHED"
    assert run.data.metrics["accuracy"] == 0.7
    assert run.data.metrics["gate/value"] == 0.2
    assert run.data.metrics["gain/value"] == 0.1
    assert run.data.params["route.agreement"] == "0.5"
    assert run.data.tags["verdict"] == "pass"
    assert run.data.tags["annotators"] == "simulated"
    assert [file.path for file in store.list_artifacts(run.info.run_id)] == ["report.html"]
    # The same round from another lock is another result.
    assert log("other lock")
    assert len(logged()) == 2

    simulated = {"simulated expert": {"accuracy": 0.95}}
    base = {"accuracy": 0.5}
    assert log_baselines(tmp_path, base, simulated, PUBLISHED, "lock") == 4
    assert log_baselines(tmp_path, base, simulated, PUBLISHED, "lock") == 0
    runs = {r.info.run_name: r.data for r in logged() if r.data.tags["role"] == "baseline"}
    benchmarks = {name: data.tags["benchmark"] for name, data in runs.items()}
    assert benchmarks == {
        "simulated expert": EMBEDDED,
        "base model": EMBEDDED,
        "GPT-4o": "MedQ-Bench",
        "human": "MedQ-Bench",
    }
    assert runs["GPT-4o"].metrics == {"accuracy": 0.64, "accuracy_by/question_type/yes-no": 0.78}
