"""route: what the incumbent and the draft say, and what that is worth, decides who labels."""

import json

import polars as pl

from medq_engine import checks, evidence, figures, noise, routing, sheets, tables, worth
from medq_engine.endpoints import endpoint_model
from medq_engine.simulation import seeded
from pipeline import answering, paths, stage


def main() -> None:
    params = paths.params()
    dev = paths.BENCHMARK / "dev"
    candidates = tables.read(paths.CANDIDATES, tables.CANDIDATE)
    prototypes = tables.read(paths.PROTOTYPES, tables.PROTOTYPE)
    drafts = tables.read(paths.DRAFTS, tables.DRAFT)
    items = tables.read(dev / "items.parquet", tables.ITEM)
    spent = json.loads(paths.LEDGER.read_text(encoding="utf-8")) or {}
    images = tables.Images(paths.POOL, dev / "records.parquet")
    rng = seeded("route", params.seed, params.round)
    tasks = routing.tasks_of(candidates, prototypes, images.modality, params.round)
    count = checks.quota_of(len(tasks), params.route).gold
    gold = checks.gold_tasks(items, prototypes, count, params.round, rng)
    known = evidence.known_tasks(items, {task["question_type"] for task in tasks})

    asked = evidence.to_ask([*tasks, *gold, *known])
    if params.drafts.endpoint:
        name = params.drafts.endpoint
        answers = endpoint_model.drafts(answering.client(params, name), asked, images)
        drafts = routing.drafted(asked, answers, name)
    model = answering.model(params, adapter=paths.CURRENT)
    scored = model.score(images, [routing.query_of(row) for row in asked])
    keys = [(row["image_id"], row["question"]) for row in asked]
    said = evidence.Said(dict(zip(keys, scored, strict=True)), routing.by_question(drafts))
    predictions = tables.read(paths.PREDICTIONS, tables.PREDICTION)
    perception = items.filter(pl.col("task") == "perception")
    errors = worth.fault_errors(perception.join(predictions, on="item_id", suffix="_given"))
    before = noise.Tally(**spent.get("checks", {}))
    routed = routing.route(tasks, known, said, errors, params.route, before, rng)

    table = tables.table(routed.rows, tables.TASK)
    everything = pl.concat([table, tables.table(routing.for_experts(gold, said), tables.TASK)])
    tables.write(everything, paths.TASKS, tables.TASK)
    batch = everything.filter(pl.col("route") == "expert")
    queue = map(checks.queue_row, batch.to_dicts())
    tables.replace(paths.QUEUE / f"{params.tag}.jsonl", tables.canonical(queue))
    metrics = {"gold": len(gold), **routing.summary(table, routed.tau_h)}
    tables.write_json(metrics, paths.METRICS / "route.json")
    figures.route_histogram(table, routed.tau_h, paths.FIGURES / "routes.png")
    sheets.batch_sheet(batch, images, paths.FIGURES / "batch.png")
    print(
        f"route: {metrics['by_route']}; {len(batch)} tasks wait for people in "
        f"data/queue/{params.tag}.jsonl"
    )


if __name__ == "__main__":
    stage.run(main)
