"""route-study (`make route-study`, no stage): is the noise estimate right, is the target kept?

Simulated rounds under several assumptions about drafts and readers, by both rules. Each draws its
pool, drafts, readings and audits anew. It reads the simulated truth, so it reports and decides
nothing in the loop. Cells that are done are kept: a run that was stopped goes on where it was.
"""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
from tqdm import tqdm

from medq_engine import (
    annotators,
    checks,
    encoders,
    evidence,
    labelling,
    noise,
    retrieval,
    risk,
    route_study,
    route_trials,
    routing,
    tables,
    trust,
    worth,
)
from medq_engine.config import Params, RouteParams
from medq_engine.degradations import DEGRADATIONS
from medq_engine.language import Finding, question
from medq_engine.parallel import call, start
from medq_engine.payoff import PAYOFF
from medq_engine.questions import Scored
from medq_engine.route_trials import Assumption, Bench, reliability, trial
from medq_engine.simulation import seeded
from medq_engine.vocabulary import QUESTION_TYPES
from pipeline import answering, machine, paths, stage

ROUNDS = 100
SHOWN = 10  # rounds whose labels are compared with the truth one by one
DECLARED = "as declared"
LEFT_OUT = 0.4  # of the pool, in each round
PAGE = Path("docs/results/route-study.md")
# What the rounds are made by: a change makes them anew.
CODE = (annotators, checks, evidence, labelling, noise, retrieval, risk, route_trials, routing)
CODE += (trust, worth)
SCORED = {
    "image_id": pl.String,
    "question": pl.String,
    "probabilities": pl.List(pl.Float64),
    "nll": pl.List(pl.Float64),
}


def cells_of(params: Params) -> dict[tuple[str, str], tuple[Assumption, RouteParams]]:
    """What is assumed and how it is routed, by name and rule: first what params.yaml declares."""
    plain = Assumption(DECLARED, params.expert.accuracy, params.drafts.accuracy)
    weaker = {"yes-no": 0.65, "what": 0.35, "how": 0.45}
    route = params.route
    drafts = [
        plain,
        replace(plain, name="weaker drafts", drafts=weaker),
        replace(plain, name="drafts share half of the model's errors", follows=0.5),
        replace(plain, name="drafts follow one reading an image", one_reading=True),
    ]
    readers = [
        replace(plain, name="readers 85 % right", expert=0.85),
        replace(plain, name="readers 100 % right", expert=1.0),
    ]
    found = {
        (one.name, rule): (one, replace(route, rule=rule))
        for one in drafts
        for rule in ("risk", "paper")
    }
    found |= {(one.name, "risk"): (one, replace(route, rule="risk")) for one in readers}
    for target in (0.02, 0.10):
        settings = replace(route, rule="risk", noise_target=target)
        found[f"as declared, target {target:.0%}", "risk"] = plain, settings
    found["as declared, experts 10 %", "risk"] = (
        plain,
        replace(route, rule="risk", expert_share=0.1),
    )
    return found


def scored(params: Params, rows: Sequence[evidence.Task], path: Path) -> dict:
    """The incumbent's answers, asked for once."""
    if not path.exists():
        images = tables.Images(paths.POOL, paths.BENCHMARK / "dev" / "records.parquet")
        model = answering.model(params, adapter=paths.CURRENT)
        said = model.score(images, [routing.query_of(row) for row in rows])
        found = (
            {"image_id": row["image_id"], "question": row["question"]}
            | {"probabilities": result.probabilities.tolist(), "nll": result.nll.tolist()}
            for row, result in zip(rows, said, strict=True)
        )
        tables.write(tables.table(found, SCORED), path, SCORED)
    return {
        (row["image_id"], row["question"]): Scored(
            np.array(row["probabilities"]), np.array(row["nll"])
        )
        for row in tables.read(path, SCORED).iter_rows(named=True)
    }


def questions(items: pl.DataFrame, prototypes: pl.DataFrame, modality_of: dict) -> list[dict]:
    """Everything that a trial may ask: of dev what is known, of the pool what prototypes ask."""
    rows = evidence.known_tasks(items, set(QUESTION_TYPES))
    faults = prototypes.filter(question_type="yes-no").select("modality", "attribute").unique()
    for image_id, modality in modality_of.items():
        asked = [("what", "")]
        asked += [("yes-no", fault) for where, fault in sorted(faults.rows()) if where == modality]
        for kind, attribute in asked:
            text, options = question(kind, modality, attribute)
            row = {"image_id": image_id, "modality": modality, "question_type": kind}
            rows.append(row | {"attribute": attribute, "question": text, "options": list(options)})
    return evidence.to_ask(rows)


def bench_of(params: Params, answers: Path) -> Bench:
    """What all trials share; the model's answers are kept in a file."""
    items = tables.read(paths.BENCHMARK / "dev" / "items.parquet", tables.ITEM)
    prototypes = tables.read(paths.PROTOTYPES, tables.PROTOTYPE)
    predictions = tables.read(paths.PREDICTIONS, tables.PREDICTION)
    perception = items.filter(pl.col("task") == "perception")
    truth = pl.concat([tables.read(paths.ORACLE, tables.TRUTH), annotators.shown_by(items)])
    modality_of = dict(truth.select("image_id", "modality").iter_rows())
    asked = questions(items, prototypes, modality_of)
    return Bench(
        items=items,
        prototypes=prototypes,
        modality_of=modality_of,
        truth={
            row["image_id"]: tuple(Finding(**finding) for finding in row["findings"])
            for row in truth.iter_rows(named=True)
        },
        scored=scored(params, asked, answers),
        errors=worth.fault_errors(perception.join(predictions, on="item_id", suffix="_given")),
        untaught=frozenset(DEGRADATIONS[name].label for name in params.faults.rare),
        seconds=params.expert.seconds,
    )


def candidates_of(params: Params, errors: dict[worth.Fault, float], seed: int) -> pl.DataFrame:
    """What a round would fetch from a random part of the pool."""
    prototypes = tables.read(paths.PROTOTYPES, tables.PROTOTYPE)
    pool = tables.read(paths.EMBEDDINGS, tables.EMBEDDING)
    raw, modalities = tables.matrix(pool["vector"]), pool["modality"].to_list()
    source = tables.Images(paths.POOL).source
    rng = seeded("route-study", params.seed, seed)
    found = retrieval.plan(
        prototypes,
        encoders.fit_space(raw, modalities).whitened(raw, modalities),
        modalities,
        [source[image_id] for image_id in pool["image_id"]],
        barred=rng.random(len(pool)) < LEFT_OUT,
        payoffs=tables.table([], PAYOFF),
        errors=errors,
        settings=params.retrieve,
        rng=rng,
    )
    rows = [{**row, "image_id": pool["image_id"][row.pop("image")]} for row in found.rows]
    return tables.table(rows, tables.CANDIDATE)


def run(bench: Bench, drawn: list, assumption: Assumption, settings: RouteParams, n: int) -> dict:
    """The n-th round of a cell."""
    return trial(drawn[n], bench, assumption, settings, n)


def every(make: Callable[[int], object], description: str) -> list:
    """All rounds, by all cores.

    Rounds read tables, and a fork of a process that has used polars or torch hangs: these begin
    anew.
    """
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores, get_context("spawn"), start, (make,)) as pool:
        made = pool.map(call, range(ROUNDS))
        return list(tqdm(made, total=ROUNDS, desc=description, mininterval=10))


def cell(path: Path, make: Callable[[int], dict], description: str) -> list[dict]:
    """The rounds of a cell, from its file or made now."""
    if not path.exists():
        tables.write_json(every(make, description), path)
    return json.loads(path.read_text(encoding="utf-8"))


def key_of(*parts: object) -> str:
    """What is made of the same parts has the same key."""
    return tables.fingerprint(repr(parts).encode())


def main() -> None:
    params = paths.params()
    made_on = machine.described()  # before the figure, a file of the repository, is drawn anew
    asked = params.model, paths.PROTOTYPES.read_bytes(), paths.ORACLE.read_bytes()
    answers = key_of(*asked, tables.folder_md5(paths.CURRENT))
    code = [Path(module.__file__).read_bytes() for module in CODE]
    settings = params.route, params.retrieve, params.expert, params.drafts
    rounds = key_of(answers, code, settings, tables.folder_md5(paths.EMBEDDINGS))
    work = paths.WORK / "route-study" / rounds
    bench = bench_of(params, paths.WORK / "route-study" / f"answers-{answers}.parquet")
    drawn_path = work / "candidates.parquet"
    drawn_schema = tables.CANDIDATE | {"trial": pl.Int32}
    if not drawn_path.exists():
        made = every(partial(candidates_of, params, bench.errors), "candidates")
        numbered = [one.with_columns(trial=pl.lit(n, pl.Int32)) for n, one in enumerate(made)]
        tables.write(pl.concat(numbered), drawn_path, drawn_schema)
    drawn = tables.read(drawn_path, drawn_schema).partition_by("trial", include_key=False)
    cases = cells_of(params)
    found = {
        (name, rule): cell(
            work / f"{number:02d}.json", partial(run, bench, drawn, *case), f"{name}, {rule}"
        )
        for number, ((name, rule), case) in enumerate(cases.items())
    }
    declared, _ = cases[DECLARED, "risk"]
    labels = pl.concat([reliability(drawn[n], bench, declared, n) for n in range(SHOWN)])
    cells = {name: route_study.summed(trials) for name, trials in found.items()}
    target, confidence = params.route.noise_target, params.route.noise_confidence
    figure = PAGE.with_suffix(".png")
    route_study.draw(found[DECLARED, "risk"], cells, target, confidence, figure)
    page = route_study.page(cells, labels, params.route, ROUNDS, made_on, figure.name)
    tables.replace(PAGE, page.encode())
    print(page)


if __name__ == "__main__":
    stage.run(main)
