"""MLflow: every closed round beside the base, the simulated annotators and the published rows.

The store is derived: everything comes from git tags and the DVC cache, so that a store which was
logged round by round and one that was rebuilt years later hold the same. All times are those of the
commits.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from medq_engine import closed as closed_rounds
from medq_engine import curves, registry
from medq_engine.closed import TEST, Closed
from medq_engine.errors import MedqError
from medq_engine.history import comparable
from medq_engine.lineage import leaves
from medq_engine.runs import DATASETS, Run, ensure, logged_runs, remove
from medq_engine.tables import fingerprint

if TYPE_CHECKING:  # heavy: imported where it is used
    from mlflow import MlflowClient

EXPERIMENT = "medq-engine"
ABOUT = """Rounds of MedQ-Engine beside the base, simulated annotators and published rows.

- Step 0 is the base, step N is round N. The newest round's run holds the whole curve.
- `accuracy`, `accuracy_by/...`: what the round trained, on the test split, which is only reported.
  `in_force/accuracy`: the model in force after the verdict. `gate/...`: the split that decides.
- `gap/NAME`: accuracy less NAME's on the same items. `x/labels`, `x/expert_minutes`: so far; take
  them as x axis.
- Runs compare where their tag `benchmark` is the same. Published rows stand on another one.
- "Simulated" in a name or in the tag `annotators`: not measured on people.
"""


class TrackingError(MedqError):
    """MLflow could not be reached or written to."""


def client(root: Path, uri: str = "") -> "MlflowClient":
    """A client of a store: `uri`, or MLFLOW_TRACKING_URI, or SQLite in the repository."""
    # Read when MLflow is imported: it sends nothing anywhere and says nothing but warnings.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    from mlflow import MlflowClient

    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
    return MlflowClient(uri, registry_uri=uri)


def experiment_id(store: "MlflowClient", root: Path) -> str:
    """The experiment of this project, made when it is missing.

    A local store keeps its artefacts in `mlartifacts` of the repository, a server where it likes.
    """
    found = store.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return found.experiment_id
    local = store.tracking_uri.startswith("sqlite:")
    location = (root / "mlartifacts").resolve().as_uri() if local else None
    tags = {
        "mlflow.note.content": ABOUT,
        # Opens on runs and charts, and not on chats and traces.
        "mlflow.experimentKind": "custom_model_development",
    }
    return store.create_experiment(EXPERIMENT, artifact_location=location, tags=tags)


def track(root: Path, uri: str = "") -> str:
    """Log every closed round that the store lacks; a sentence on what was done.

    Raises:
        ClosedError: A round's tag holds no closed round.
        TrackingError: The store cannot be reached or written to.
    """
    rounds = closed_rounds.read_all(root)
    if not rounds:
        return "no round is closed yet: nothing to log"
    new = log(root, rounds, rounds[-1].number, uri)
    return f"{len(new)} of {len(rounds)} closed rounds logged now" + (
        f": {', '.join(new)}" if new else "; all are in MLflow"
    )


def log_closed(root: Path, tag: str, uri: str = "") -> bool:
    """Log a closed round and, where they are missing, those before it; True if it was logged now.

    Baselines gain the round's step; the adapter is registered, and is the champion if it passed.

    Raises:
        ClosedError: The tag holds no closed round.
        TrackingError: The store cannot be reached or written to.
    """
    rounds, last = closed_rounds.read_all(root), closed_rounds.number_of(tag)
    return tag in log(root, rounds, last, uri)


def rebuild(root: Path, uri: str = "") -> str:
    """Take what this project has in the store away and log all closed rounds anew, from git alone.

    Of the store, only the runs and models of the experiment `medq-engine` and the registered model
    `medq-engine-adapter` are deleted.

    Raises:
        ClosedError: A round's tag holds no closed round; nothing was deleted.
        TrackingError: The store cannot be reached or written to.
    """
    rounds = closed_rounds.read_all(root)
    with speaking(root, uri) as store:
        experiment = experiment_id(store, root)
        for run in chain.from_iterable(logged_runs(store, experiment).values()):
            remove(store, run)
        registry.clear(store)
    if not rounds:
        return "no round is closed yet: nothing to log"
    return f"rebuilt from git: {', '.join(log(root, rounds, rounds[-1].number, uri))}"


def log(root: Path, rounds: Sequence[Closed], last: int, uri: str) -> list[str]:
    """Log what is missing of the rounds up to number `last`; names of those that were.

    Args:
        rounds: All that are closed: the newest knows the published rows best.
    """
    new = []
    with speaking(root, uri) as store:
        experiment = experiment_id(store, root)
        there = logged_runs(store, experiment)
        for count, closed in enumerate(rounds, start=1):
            if closed.number > last:
                break
            own, *others = runs_of(rounds[:count], rounds[-1].published)
            run_id, is_new = ensure(store, experiment, own, there)
            if is_new:
                new.append(closed.tag)
            for other in others:
                ensure(store, experiment, other, there)
            registry.register(store, closed, run_id)
    return new


def runs_of(rounds: Sequence[Closed], tables: Sequence[Mapping[str, object]]) -> list[Run]:
    """What is logged when the last of `rounds` is closed: its own run first, then baselines.

    Args:
        tables: Published rows.
    """
    last = rounds[-1]
    times = {0: comparable(rounds)[0].time} | {c.number: c.time for c in rounds}
    tags = {
        "round": str(last.number),
        "verdict": last.gate["verdict"],
        "commit": last.commit,
        "dvc_lock": last.lock,
        "annotators": "simulated" if last.simulated else "people",
        "mlflow.source.git.commit": last.commit,
    }
    # MLflow takes 6000 signs of a param.
    params = {name: str(value)[:6000] for name, value in leaves(last.params)}
    own = Run(curves.loop(rounds), last.commit, times, last.time, last, tags, params, DATASETS)
    others = []
    for place, curve in enumerate(curves.baselines(rounds, tables), start=1):
        here = curve.benchmark == last.benchmark
        # Their steps are added round by round; a published number may be corrected.
        key = "" if curve.role != "baseline" else json.dumps(curve.points[0], sort_keys=True)
        others.append(
            Run(
                curve,
                key=fingerprint(key.encode()),
                times=times if here else {0: rounds[0].time},
                # Newest first is the order in which MLflow shows runs, and draws the first ten.
                start=rounds[0].time - 1000 * place,
                closed=last,
                data={TEST: DATASETS[TEST]} if here else {},
            )
        )
    return [own, *others]


@contextmanager
def speaking(root: Path, uri: str) -> Iterator["MlflowClient"]:
    """A client whose errors are said in words, with what to do."""
    store = client(root, uri)
    from mlflow.exceptions import MlflowException

    try:
        yield store
    except MlflowException as error:
        raise TrackingError(
            f"MLflow at {store.tracking_uri}: {error}\n"
            "Closed rounds are safe in git: once it works, `medq track` logs what is missing."
        ) from error
