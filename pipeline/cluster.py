"""cluster: failures on dev -> named prototypes, each with an image to search by."""

import polars as pl

from medq_engine import encoders, prototypes, sheets, tables
from pipeline import encoding, paths, stage


def main() -> None:
    params = paths.params()
    images = tables.Images(paths.BENCHMARK / "dev" / "records.parquet")
    items = tables.read(paths.BENCHMARK / "dev" / "items.parquet", tables.ITEM)
    predictions = tables.read(paths.PREDICTIONS, tables.PREDICTION)
    pool = tables.read(paths.EMBEDDINGS, tables.EMBEDDING)
    space = encoders.fit_space(tables.matrix(pool["vector"]), pool["modality"].to_list())

    asked = items.filter(pl.col("task") == "perception").join(predictions, on="item_id")
    asked = asked.with_columns(image_id=pl.col("image_ids").list.first())
    failures = asked.filter(pl.col("failure")).sort("item_id")
    seen = asked.unique("image_id", maintain_order=True)
    encoder, per_batch = params.embeddings.encoder, params.embeddings.images_per_batch
    shown = [images[image_id] for image_id in seen["image_id"]]
    raw = encoders.encode(encoder, shown, encoding.encoder(params), per_batch)
    vectors = space.unit(raw, seen["modality"].to_list())
    labelled = prototypes.Labelled(vectors, seen["modality"].to_list(), seen["findings"].to_list())

    place = {image_id: row for row, image_id in enumerate(seen["image_id"])}
    failed = vectors[[place[image_id] for image_id in failures["image_id"]]]
    settings = vars(params.cluster)
    found = prototypes.find(failed, failures, asked, labelled, seed=params.seed, **settings)
    tables.write(found.table, paths.PROTOTYPES, tables.PROTOTYPE)
    tables.write_json(found.metrics, paths.METRICS / "cluster.json")
    sheets.prototype_sheet(found.table, failures, images, paths.FIGURES / "prototypes.png")
    print(f"cluster: {len(failures)} failures in {len(found.table)} prototypes")


if __name__ == "__main__":
    stage.run(main)
