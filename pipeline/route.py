"""route: the incumbent's answer, its certainty and the draft decide who labels."""

import polars as pl

from medq_engine import checks, figures, routing, sheets, tables
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
    images = tables.Images(paths.POOL, dev / "records.parquet")
    rng = seeded("route", params.seed, params.round)
    tasks = routing.tasks_of(candidates, prototypes, images.modality, params.round)
    count = checks.quota_of(len(tasks), params.route).gold
    gold = checks.gold_tasks(items, prototypes, count, params.round, rng)

    if params.drafts.endpoint:
        name = params.drafts.endpoint
        answers = endpoint_model.drafts(answering.client(params, name), [*tasks, *gold], images)
        drafts = routing.drafted([*tasks, *gold], answers, name)
    model = answering.model(params, adapter=paths.CURRENT)
    scored = model.score(images, [routing.query_of(task) for task in [*tasks, *gold]])
    predictions = tables.read(paths.PREDICTIONS, tables.PREDICTION)
    asked = items.filter(pl.col("task") == "perception").join(
        predictions, on="item_id", suffix="_given"
    )
    errors = routing.fault_errors(asked)
    routed, tau_h = routing.route(tasks, scored[: len(tasks)], drafts, errors, params.route, rng)
    known = routing.for_experts(gold, scored[len(tasks) :], drafts)

    table = tables.table(routed, tables.TASK)
    everything = pl.concat([table, tables.table(known, tables.TASK)])
    tables.write(everything, paths.TASKS, tables.TASK)
    batch = everything.filter(pl.col("route") == "expert")
    queue = map(checks.queue_row, batch.to_dicts())
    tables.replace(paths.QUEUE / f"{params.tag}.jsonl", tables.canonical(queue))
    counts = dict(sorted(table["route"].value_counts().iter_rows()))
    metrics = {
        "tasks": len(table),
        "by_route": counts,
        "audits": int(table["audit"].sum()),
        "gold": len(known),
        "second_readings": int((table["readers"] == 2).sum()),
        "tau_h": tau_h,
        "mean_entropy": table["entropy"].mean(),
        "agreement_with_draft": (table["agreement"] == 1).mean(),
    }
    tables.write_json(metrics, paths.METRICS / "route.json")
    figures.route_histogram(table, tau_h, paths.FIGURES / "routes.png")
    sheets.batch_sheet(batch, images, paths.FIGURES / "batch.png")
    print(f"route: {counts}; {len(batch)} tasks wait for people in data/queue/{params.tag}.jsonl")


if __name__ == "__main__":
    stage.run(main)
