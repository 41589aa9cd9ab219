"""route: the incumbent's answer, its certainty and the draft decide who labels."""

import polars as pl

from medq_engine import figures, routing, sheets, tables
from medq_engine.endpoints import endpoint_model
from medq_engine.simulation import seeded
from pipeline import answering, paths, stage


def main() -> None:
    params = paths.params()
    candidates = tables.read(paths.CANDIDATES, tables.CANDIDATE)
    prototypes = tables.read(paths.PROTOTYPES, tables.PROTOTYPE)
    drafts = tables.read(paths.DRAFTS, tables.DRAFT)
    images = tables.Images(paths.POOL)
    tasks = routing.tasks_of(candidates, prototypes, images.modality, params.round)

    if params.drafts.endpoint:
        name = params.drafts.endpoint
        answers = endpoint_model.drafts(answering.client(params, name), tasks, images)
        drafts = routing.drafted(tasks, answers, name)
    model = answering.model(params, adapter=paths.CURRENT)
    scored = model.score(images, [routing.query_of(task) for task in tasks])
    items = tables.read(paths.BENCHMARK / "dev" / "items.parquet", tables.ITEM)
    predictions = tables.read(paths.PREDICTIONS, tables.PREDICTION)
    asked = items.filter(pl.col("task") == "perception").join(
        predictions, on="item_id", suffix="_given"
    )
    errors = routing.fault_errors(asked)
    rng = seeded("route", params.seed, params.round)
    routed, tau_h = routing.route(tasks, scored, drafts, errors, params.route, rng)

    table = tables.table(routed, tables.TASK)
    tables.write(table, paths.TASKS, tables.TASK)
    batch = table.filter(pl.col("route") == "expert")
    tables.replace(paths.QUEUE / f"{params.tag}.jsonl", tables.canonical(batch.to_dicts()))
    counts = dict(sorted(table["route"].value_counts().iter_rows()))
    tables.write_json(
        {
            "tasks": len(table),
            "by_route": counts,
            "audits": int(table["audit"].sum()),
            "tau_h": tau_h,
            "mean_entropy": table["entropy"].mean(),
            "agreement_with_draft": (table["agreement"] == 1).mean(),
        },
        paths.METRICS / "route.json",
    )
    figures.route_histogram(table, tau_h, paths.FIGURES / "routes.png")
    sheets.batch_sheet(batch, images, paths.FIGURES / "batch.png")
    print(f"route: {counts}; {len(batch)} tasks wait for people in data/queue/{params.tag}.jsonl")


if __name__ == "__main__":
    stage.run(main)
