"""cluster: failures on dev -> named prototypes, each with an image to search by."""

import polars as pl

from medq_engine import encoders, prototypes, sheets, tables
from medq_engine.simulation import from_png
from pipeline import models, paths, stage


def main() -> None:
    params = paths.params()
    records = tables.read(paths.BENCHMARK / "dev" / "records.parquet", tables.RECORD)
    items = tables.read(paths.BENCHMARK / "dev" / "items.parquet", tables.ITEM)
    predictions = tables.read(paths.PREDICTIONS, tables.PREDICTION)
    pool = tables.read(paths.EMBEDDINGS, tables.EMBEDDING)
    space = encoders.fit_space(tables.matrix(pool["vector"]), pool["modality"].to_list())

    asked = items.filter(pl.col("task") == "perception").join(predictions, on="item_id")
    failures = asked.filter(pl.col("failure")).sort("item_id")
    images = {r["image_id"]: from_png(r["image"]["bytes"]) for r in records.to_dicts()}
    shown = [images[ids[0]] for ids in failures["image_ids"]]
    mllm = models.load(params.model, params.seed, adapter=None)
    encoder, per_batch = params.embeddings.encoder, params.embeddings.images_per_batch
    raw = encoders.encode(encoder, shown, mllm, per_batch)
    vectors = space.unit(raw, failures["modality"].to_list())

    found = prototypes.find(vectors, failures, asked, seed=params.seed, **vars(params.cluster))
    tables.write(found.table, paths.PROTOTYPES, tables.PROTOTYPE)
    tables.write_json(found.metrics, paths.METRICS / "cluster.json")
    sheets.prototype_sheet(found.table, failures, images, paths.FIGURES / "prototypes.png")
    print(f"cluster: {len(failures)} failures in {len(found.table)} prototypes")


if __name__ == "__main__":
    stage.run(main)
