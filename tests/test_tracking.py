"""MLflow takes seconds to make a database and to log a round: one store is made and restored."""

import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from copy import copy
from pathlib import Path
from urllib.parse import urlparse

import pytest

from medq_engine import closed, registry, tracking
from medq_engine.rounds import bytes_md5
from tests.closed_repository import Repository
from tests.made_rounds import BASE, SPLITS

ROUND = "round-00{} (simulated expert)"
PUBLISHED = "GPT-4o, another benchmark"


def copy_repository(source: Path, target: Path) -> None:
    """Make `target` equal to `source`; its database keeps its file, which MLflow has open."""
    shutil.rmtree(target / ".git", ignore_errors=True)
    for path in target.rglob("*"):
        if path.is_file() and not path.name.startswith("mlflow.db"):
            path.unlink()
    ignored = shutil.ignore_patterns("mlflow.db*")
    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
    with (
        closing(sqlite3.connect(source / "mlflow.db")) as old,
        closing(sqlite3.connect(target / "mlflow.db")) as new,
    ):
        old.backup(new)


@pytest.fixture(scope="module")
def logged(tmp_path_factory) -> Iterator[Repository]:
    """Round 1 is closed, passed and logged, beside an experiment of others: to look at only."""
    root = tmp_path_factory.mktemp("logged") / "repository"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        made = Repository(root)
        store = tracking.client(root)
        another = store.create_experiment("another", artifact_location=(root / "other").as_uri())
        store.create_run(another, run_name="not ours")
        made.write("models/cards/round-001.md", "# A card")
        assert tracking.log_closed(root, made.close())
        yield made


@pytest.fixture(scope="module")
def kept(logged, tmp_path_factory) -> Path:
    """A copy to restore `logged` from."""
    folder = tmp_path_factory.mktemp("kept")
    copy_repository(logged.root, folder)
    return folder


@pytest.fixture
def repository(logged, kept) -> Iterator[Repository]:
    """As `logged`, to change: it is restored in its place, which MLflow's runs name."""
    yield copy(logged)
    copy_repository(kept, logged.root)


def runs(root: Path) -> dict[str, dict[str, object]]:
    """All that can be seen of the experiment's runs, by name; ids left out.

    Points are read from the database: MLflow answers for one metric of one run at a time.
    """
    store = tracking.client(root)
    database = sqlite3.connect(root / "mlflow.db")
    seen = {}
    for run in store.search_runs([tracking.experiment_id(store, root)]):
        assert run.info.run_name not in seen, "two runs of one name"
        points = database.execute(
            "SELECT key, step, value, timestamp FROM metrics WHERE run_uuid = ? ORDER BY key, step",
            [run.info.run_id],
        )
        history = defaultdict(list)
        for name, *point in points:
            history[name].append(tuple(point))
        folder = Path(urlparse(run.info.artifact_uri).path)
        inputs = run.inputs.dataset_inputs
        models = run.outputs.model_outputs if run.outputs else []
        seen[run.info.run_name] = {
            "status": run.info.status,
            "times": (run.info.start_time, run.info.end_time),
            "tags": run.data.tags,
            "params": run.data.params,
            "metrics": dict(history),
            "data": sorted(
                (i.dataset.name, i.dataset.digest, i.dataset.source, i.tags[0].value)
                for i in inputs
            ),
            "models": [(store.get_logged_model(m.model_id).name, m.step) for m in models],
            "artifacts": sorted(
                path.relative_to(folder).as_posix() for path in folder.rglob("*.*")
            ),
        }
    return seen


def versions(root: Path) -> list[dict[str, object]]:
    """The registered versions in their order, with their aliases and the names of their runs."""
    store = tracking.client(root)
    aliases = store.get_registered_model(registry.MODEL).aliases
    found = store.search_model_versions(f"name = '{registry.MODEL}'")
    return [
        {
            "version": int(v.version),
            "tags": v.tags,
            "source": v.source,
            "description": v.description,
            "run": store.get_run(v.run_id).info.run_name,
            "aliases": [name for name, of in aliases.items() if int(of) == int(v.version)],
        }
        for v in sorted(found, key=lambda v: int(v.version))
    ]


def contents(root: Path) -> object:
    store = tracking.client(root)
    models = store.search_logged_models([tracking.experiment_id(store, root)])
    logged = sorted((m.name, sorted(m.tags.items()), sorted(m.params.items())) for m in models)
    return runs(root), versions(root), logged


def steps(run: dict[str, object], metric: str = "accuracy") -> list[int]:
    return [step for step, _, _ in run["metrics"][metric]]


@pytest.fixture
def once(repository, monkeypatch) -> Callable[[object, str], None]:
    """Make a function of the store fail once, as a kill would."""
    from mlflow import MlflowClient

    class Killed(BaseException):
        pass

    def arm(name: str, after: int = 0) -> type[BaseException]:
        real, left = getattr(MlflowClient, name), [after]

        def killed(*args: object, **options: object) -> object:
            left[0] -= 1
            if left[0] == -1:
                raise Killed
            return real(*args, **options)

        monkeypatch.setattr(MlflowClient, name, killed)
        return Killed

    return arm


def test_a_store_rebuilt_from_git_equals_one_logged_round_by_round(repository):
    root = repository.root
    for verdict in ("inconclusive", "pass"):
        assert tracking.log_closed(root, repository.close(verdict))
    by_rounds = contents(root)
    # The workspace may hold anything, and the store too.
    shutil.rmtree(root / "metrics")
    assert tracking.rebuild(root) == "rebuilt from git: round-001, round-002, round-003"
    assert contents(root) == by_rounds
    store = tracking.client(root)
    another = store.get_experiment_by_name("another").experiment_id
    assert [run.info.run_name for run in store.search_runs([another])] == ["not ours"]


def test_a_further_round_gives_baselines_a_step_and_leaves_the_rest_alone(repository):
    root = repository.root
    one = runs(root)
    tracking.log_closed(root, repository.close())
    two = runs(root)
    assert two.keys() - one.keys() == {ROUND.format(2)}
    for name in (ROUND.format(1), PUBLISHED):
        assert two[name] == one[name]
    for name in ("base model", "simulated GPT-4o", "simulated expert"):
        assert steps(one[name]) == [0, 1]
        assert steps(two[name]) == [0, 1, 2]
    assert steps(two[PUBLISHED]) == [0]


def test_what_a_round_is_logged_with(logged):
    run, commit = runs(logged.root)[ROUND.format(1)], closed.read(logged.root, "round-001").commit
    assert run["status"] == "FINISHED"
    tags = run["tags"]
    assert (tags["role"], tags["round"], tags["verdict"]) == ("round", "1", "pass")
    assert (tags["commit"], tags["annotators"]) == (commit, "simulated")
    assert tags["benchmark"] == "embedded benchmark, test 22222222"
    assert run["params"]["finetune.route_weight.draft"] == "0.5"
    assert run["params"]["model.id"] == "models/base"
    assert run["metrics"]["accuracy"][0][:2] == (0, BASE)
    source = f'{{"path": "data/benchmark/test", "rev": "{commit}"}}'
    expected = ("data/benchmark/test", SPLITS["test"], source, "test: only reported")
    assert expected in run["data"]
    assert [name for name, *_ in run["data"]] == [
        "data/benchmark/dev",
        "data/benchmark/gate",
        "data/benchmark/test",
        "data/pool",
        "data/round/training.parquet",
    ]
    assert run["models"] == [("adapter-round-001", 1)]
    assert run["artifacts"] == [
        "figures/confusion/ct.png",
        "figures/forest.png",
        "model-card.md",
        "round-001.html",
    ]


def test_models_carry_what_was_measured_with_the_split_and_nothing_else(repository):
    root = repository.root
    tracking.log_closed(root, repository.close("fail", -0.02))
    store = tracking.client(root)
    models = store.search_logged_models([tracking.experiment_id(store, root)])
    (two,) = [model for model in models if model.name == "adapter-round-002"]
    told = {
        m.key: (m.value, m.dataset_name, m.dataset_digest) for m in two.metrics if m.dataset_name
    }
    assert told["accuracy"] == (pytest.approx(0.49), "data/benchmark/test", SPLITS["test"])
    assert told["gate/value"] == (pytest.approx(-0.02), "data/benchmark/gate", SPLITS["gate"])
    assert not {"labels/total", "in_force/accuracy", "x/labels"} & told.keys()


def test_missing_rounds_are_logged_and_closing_again_changes_nothing(repository):
    root = repository.root
    repository.close()
    assert tracking.track(root) == "1 of 2 closed rounds logged now: round-002"
    before = contents(root)
    assert before[0].keys() >= {ROUND.format(1), ROUND.format(2)}
    assert not tracking.log_closed(root, "round-002")
    assert not tracking.log_closed(root, "round-001")
    assert tracking.track(root) == "0 of 2 closed rounds logged now; all are in MLflow"
    assert contents(root) == before
    store = tracking.client(root)
    experiment = tracking.experiment_id(store, root)
    from mlflow.entities import ViewType

    assert not store.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)


def test_without_a_closed_round_there_is_nothing_to_log(repository):
    root = repository.root
    repository.git("tag", "-d", "round-001")
    assert tracking.track(root) == "no round is closed yet: nothing to log"
    assert tracking.rebuild(root) == "no round is closed yet: nothing to log"
    assert runs(root) == {}


def test_kills_while_logging_leave_nothing_half(repository, once):
    root, tag = repository.root, repository.close()
    for function, after in (
        ("create_logged_model", 0),
        ("log_artifacts", 0),
        ("set_terminated", 0),
        # Params (1 batch) and three points of the round; then the base's new step is cut off.
        ("log_batch", 4),
        ("create_model_version", 0),
        ("set_registered_model_alias", 0),
    ):
        killed = once(function, after)
        with pytest.raises(killed):
            tracking.log_closed(root, tag)
        if function == "log_batch":
            assert steps(runs(root)["base model"]) == [0, 1]
    tracking.log_closed(root, tag)
    after_kills = contents(root)
    assert steps(after_kills[0]["base model"]) == [0, 1, 2]
    tracking.rebuild(root)
    assert after_kills == contents(root)
    assert {run["status"] for run in after_kills[0].values()} == {"FINISHED"}


def test_what_dvc_no_longer_has_is_noted(repository):
    root, tag = repository.root, repository.close()
    repository.cache(f"report of {tag}".encode()).unlink()
    tracking.log_closed(root, tag)
    run = runs(root)[ROUND.format(2)]
    assert run["artifacts"] == ["figures/confusion/ct.png", "figures/forest.png"]
    assert run["tags"]["not_in_dvc"] == "reports/round-002.html"


def test_a_corrected_published_number_replaces_the_old_one(repository):
    root = repository.root
    repository.published([{"model": "GPT-4o", "overall": 65.0}])
    tracking.log_closed(root, repository.close())
    ((step, value, _),) = runs(root)[PUBLISHED]["metrics"]["accuracy"]
    assert (step, value) == (0, 0.65)
    before = contents(root)
    assert not tracking.log_closed(root, "round-001")
    tracking.track(root)
    assert contents(root) == before


def test_a_tag_that_was_rewritten_replaces_its_run_and_its_version(repository):
    root = repository.root
    repository.git("tag", "-d", "round-001")
    repository.number = 0
    assert tracking.log_closed(root, repository.close("fail", -0.1))
    assert runs(root)[ROUND.format(1)]["tags"]["verdict"] == "fail"
    (version,) = versions(root)
    assert version["tags"]["verdict"] == "fail"
    assert version["aliases"] == []


def test_a_store_that_does_not_answer_is_said_with_what_to_do(logged, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(tracking.TrackingError, match=r"MLflow at .*\n.*`medq track` logs what is"):
        tracking.log_closed(logged.root, "round-001", "http://127.0.0.1:1")


def test_a_broken_tag_stops_a_rebuild_before_anything_is_deleted(repository):
    root = repository.root
    before = contents(root)
    (root / "dvc.lock").unlink()
    repository.git("commit", "--quiet", "--all", "-m", "broken")
    repository.git("tag", "round-002")
    with pytest.raises(closed.ClosedError, match=r"round-002 .* has no dvc\.lock"):
        tracking.rebuild(root)
    assert contents(root) == before


def test_the_champion_moves_by_a_passing_verdict_only(repository):
    root = repository.root

    def aliases() -> list[list[str]]:
        return [version["aliases"] for version in versions(root)]

    assert aliases() == [["champion"]]
    tracking.log_closed(root, repository.close("fail"))
    assert aliases() == [["champion"], []]
    tracking.log_closed(root, repository.close("pass"))
    assert aliases() == [[], [], ["champion"]]
    tracking.log_closed(root, "round-001")
    assert aliases() == [[], [], ["champion"]]


def test_a_version_names_where_its_weights_lie_and_what_was_decided(logged):
    (version,) = versions(logged.root)
    commit = closed.read(logged.root, "round-001").commit
    assert version["source"] == f"dvc://models/challenger?rev={commit}"
    assert version["run"] == ROUND.format(1)
    assert version["description"] == "round-001: pass, because."
    assert version["tags"] == {
        "round": "1",
        "commit": commit,
        "verdict": "pass",
        "gate_difference": "+1.0 points (-1.0 to +3.0)",
        "md5": bytes_md5(b"round-001") + ".dir",
        "benchmark": "embedded benchmark, test 22222222",
        "annotators": "simulated",
    }
