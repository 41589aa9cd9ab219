"""One cell of an experiment: a round of the loop by its own stages, in a folder of its own.

The stages' `main` runs in this process, so that torch is loaded once for many rounds. What `dvc
repro` and `medq next` would do between them, the chain does (experiment/workspace.py).
"""

import json
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from medq_engine import evaluation, gate, tables
from medq_engine.commands import life
from medq_engine.config import Params
from medq_engine.experiment import results, workspace
from medq_engine.experiment.results import Result
from pipeline import (
    annotate_import,
    answering,
    cluster,
    current,
    evaluate,
    finetune,
    history,
    paths,
    retrieve,
    route,
)

BASELINES = Path("metrics/baselines.json")


@dataclass(frozen=True)
class Job:
    """What a worker needs to run a cell; every path is absolute.

    Attributes:
        cell: World, strategy, seed and round, for the result.
        key: Of the cell.
        parts: Keys of what the key is made of.
        base: Name of the base's result.
        params: Contents of params.yaml, the incumbent apart.
        places: Where the inputs lie.
        folder: Working folder of the chain.
        before: What the round before left; in the first round, the base's answers.
        left: What this round shall leave.
        result: The file of the result.
        commit: Of the repository.
    """

    cell: dict[str, object]
    key: str
    parts: dict[str, str]
    base: str
    params: dict[str, object]
    places: dict[str, Path]
    folder: Path
    before: Path | None
    left: Path
    result: Path
    commit: str

    def head(self) -> Result:
        """What a result begins with."""
        about = {"cell": self.cell, "base": self.base}
        made = {"commit": self.commit, "date": date.today().isoformat()}
        return {**about, **made, "key": self.key, "parts": self.parts}


@contextmanager
def working(job: Job) -> Iterator[None]:
    """Work in the chain's folder, with what stages print in its log."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with (
        (job.folder / "log.txt").open("a", encoding="utf-8") as log,
        redirect_stdout(log),
        redirect_stderr(log),
        chdir(job.folder),
    ):
        try:
            yield
        except Exception:
            traceback.print_exc()
            raise


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Measure what a stage takes."""
    began = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - began, 1)


def answered(params: Params, adapter: Path | None) -> dict[str, pl.DataFrame]:
    """A model's answers to the questions of gate and test (schema PREDICTION), by split."""
    model = answering.model(params, adapter)
    found = {}
    for split in workspace.SPLITS:
        folder = paths.BENCHMARK / split
        items = tables.read(folder / "items.parquet", tables.ITEM)
        found[split] = evaluation.predict(
            model,
            tables.Images(folder / "records.parquet"),
            items.filter(pl.col("task") == "perception"),
            **answering.settings(params),
        )
    return found


def asked_on(split: str, untaught: set[str]) -> pl.DataFrame:
    """The questions of a split."""
    items = tables.read(paths.BENCHMARK / split / "items.parquet", tables.ITEM)
    return results.questions(items, untaught)


def run_base(job: Job) -> Result:
    """The base's answers: where every chain of a world begins, and what its test consists of."""
    seconds: dict[str, float] = {}
    with working(job):
        workspace.build(job.folder, job.places, job.params)
        params = paths.params()
        with timed(seconds, "test"):
            given = answered(params, adapter=None)
        asked = asked_on("test", results.untaught_labels(params.faults.rare))
        workspace.leave_base(job.left, job.key, given)
        result = {
            **job.head(),
            "test": results.scored(asked, given["test"]),
            "scenes": results.scenes(asked),
            "kinds": results.kinds(asked),
            "baselines": json.loads(BASELINES.read_text(encoding="utf-8")),
            "seconds": seconds,
        }
    results.write(result, job.result)
    return result


def run_round(job: Job, base: Path) -> Result:
    """A round from what the one before left to its verdict and its answers on test.

    Args:
        job: The round.
        base: What the base left, for its answers.
    """
    seconds: dict[str, float] = {}
    with working(job):
        workspace.build(job.folder, job.places, job.params | workspace.state_of(job.before))
        with workspace.instead_of_commits(job.before):
            history.main()
            current.main()
        params = paths.params()
        for stage in (evaluate, cluster, retrieve, route):
            with timed(seconds, stage.__name__.rpartition(".")[2]):
                stage.main()
        life.simulate_expert(Path(), params)
        for stage in (annotate_import, finetune):
            with timed(seconds, stage.__name__.rpartition(".")[2]):
                stage.main()
        with timed(seconds, "test"):
            given = answered(params, paths.CHALLENGER)
        result = measured(job, params, given, base) | {"seconds": seconds}
        passed = given if result["gate"]["verdict"] == "pass" else None
        workspace.hand_over(Path(), job.before, job.left, job.key, params.round, passed)
    results.write(result, job.result)
    if job.before != base:
        shutil.rmtree(job.before)
    return result


def measured(job: Job, params: Params, given: Mapping[str, pl.DataFrame], base: Path) -> Result:
    """The result of a finished round; the truth is read for the report alone."""
    before, base_given = workspace.answers(job.before), workspace.answers(base)
    items, predictions = {}, {("base", "test"): base_given["test"]}
    for split in workspace.SPLITS:
        found = tables.read(paths.BENCHMARK / split / "items.parquet", tables.ITEM)
        items[split] = found.filter(pl.col("task") == "perception")
        predictions["incumbent", split] = before[split]
        predictions["challenger", split] = given[split]
    held = gate.hold(items, predictions, params.quality_gate, params.seed)
    tables.write_json(held, paths.METRICS / "gate.json")
    labels = tables.read(paths.LABELS, tables.LABEL)
    imported = json.loads((paths.METRICS / "annotate_import.json").read_text(encoding="utf-8"))
    untaught = results.untaught_labels(params.faults.rare)
    truth = tables.read(paths.ORACLE, tables.TRUTH)
    return {
        **job.head(),
        **results.spent(labels, params.finetune.route_weight, imported),
        "noise": imported["noise"],
        "truth": results.told_by_truth(labels, truth, params.round, untaught),
        "gate": {"verdict": held["verdict"], "reason": held["reason"]}
        | {name: held["gate"]["overall"][name] for name in ("value", "low", "high")},
        "test": results.scored(asked_on("test", untaught), given["test"]),
    }
