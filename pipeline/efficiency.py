"""efficiency (`make efficiency`, no stage): strategies x seeds x rounds, and what they show.

Runs what is missing of pipeline/efficiency.yaml and writes docs/results/efficiency.md. A finished
cell is a file in docs/results/efficiency/cells; it is run again only if its params, inputs or code
change. Everything is simulated.
"""

import argparse
import os
import subprocess
import sys
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path

from medq_engine.errors import MedqError
from medq_engine.experiment import inputs, plan, results, scheduling, workspace, writing
from medq_engine.experiment.grid import Grid, read_grid
from medq_engine.experiment.plan import Repository, Step
from medq_engine.experiment.recipe import Stage
from medq_engine.experiment.results import Result
from medq_engine.experiment.stops import Terms
from pipeline import machine, paths, stage

GRID = Path("pipeline/efficiency.yaml")
PAGE = Path("docs/results/efficiency.md")
CELLS = Path("docs/results/efficiency/cells")
SCRATCH = paths.WORK / "efficiency"


class CellError(MedqError):
    """Cells failed; the message names the first."""


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.efficiency", description=__doc__)
    cores = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=cores, help=f"at once (default: {cores})")
    parser.add_argument("--only", metavar="PART", help="one part of the grid, also an extra one")
    parser.add_argument("--minutes", type=float, help="begin no cell after so many minutes")
    return parser.parse_args()


def left_by(root: Path, name: str) -> Path:
    """What a step leaves to the next."""
    return root / SCRATCH / "left" / name


def run_input(root: Path, made: Stage, folder: Path) -> None:
    """Run an input stage in a folder, as DVC does."""
    print(f"inputs: {made.name} in {folder.name}", flush=True)
    where = os.pathsep.join([str(root), str(root / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", made.module],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": where},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise CellError(f"{made.name} failed in {folder}:\n{done.stdout}{done.stderr}")


def die_with_parent() -> None:
    """Begin a worker; it ends with the process that started it, even if that one is killed."""

    def watch() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def work(step: Step, places: inputs.Places, root: Path, now: str) -> Result:
    """A worker's step."""
    from pipeline import cell  # with torch, for which the plan does not wait

    job = cell.Job(
        cell=dict(step.cell),
        key=step.key,
        parts=dict(step.parts),
        base=step.base,
        params=dict(step.params),
        places=places,
        folder=root / SCRATCH / "chains" / step.chain,
        before=left_by(root, step.after) if step.after else None,
        left=left_by(root, step.name),
        result=root / CELLS / f"{step.name}.json",
        commit=now,
    )
    return cell.run_round(job, left_by(root, step.base)) if step.after else cell.run_base(job)


def run(root: Path, repository: Repository, given: argparse.Namespace, grid: Grid) -> list[str]:
    """Run what is missing; names of the steps that failed."""
    chosen = [given.only] if given.only else grid.default_parts
    steps = plan.steps_of(repository, grid, chosen)
    due = plan.due(
        steps,
        fresh=lambda step: results.fresh(CELLS / f"{step.name}.json", step.key),
        left=lambda step: workspace.holds(left_by(root, step.name), step.key),
    )
    print(f"{len(steps) - len(due)} of {len(steps)} cells are there, {len(due)} to run", flush=True)
    pace = scheduling.Pace()
    for path in sorted(CELLS.glob("*.json")):
        found = results.read(path)
        pace.add(found["cell"], found)
    own, now = repository.keys(repository.inputs, repository.params), machine.commit()

    def start(step: Step, pool: ProcessPoolExecutor) -> "Future[Result]":
        places = inputs.prepare(
            root,
            root / SCRATCH / "inputs",
            [made for made in repository.inputs if made.name in step.inputs],
            own,
            step.inputs,
            step.world,
            partial(run_input, root),
        )
        return pool.submit(work, step, places, root, now)

    # Workers share the cores: their numerical libraries take one each, as torch does in a cell.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    with ProcessPoolExecutor(given.jobs, get_context("spawn"), die_with_parent) as pool:
        limit = 60 * given.minutes if given.minutes is not None else None
        begin = partial(start, pool=pool)
        say = partial(print, flush=True)
        return list(scheduling.run(due, begin, given.jobs, pace, say, limit))


def main() -> None:
    root = Path.cwd()
    given, grid, repository = options(), read_grid(GRID), Repository(root)
    try:
        failed = run(root, repository, given, grid)
    except KeyboardInterrupt:
        sys.exit("\nstopped; finished cells are kept, and the next start goes on from them")
    steps = plan.steps_of(repository, grid, list(grid.parts))
    there = {
        step.name: found
        for step in steps
        if (found := results.read(CELLS / f"{step.name}.json")) and found["key"] == step.key
    }
    params = paths.params()
    terms = Terms(params.stopping.least_gain, params.quality_gate.confidence)
    print(writing.write(grid, len(steps), there, terms, PAGE))
    for old in {path.stem for path in CELLS.glob("base--*.json")} - {step.name for step in steps}:
        (CELLS / f"{old}.json").unlink()  # of a base that the grid has no more
    if failed:
        raise CellError(
            f"{len(failed)} cells failed, the first is {failed[0]}: see {SCRATCH}/chains/*/log.txt"
        )


if __name__ == "__main__":
    stage.run(main)
