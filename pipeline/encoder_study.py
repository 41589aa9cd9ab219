"""encoder-study (`make encoder-study`, no stage): which encoder finds the fault it is shown?

Every dev image with a fault is an anchor; among its 20 nearest pool images of the modality, how
many have the same fault, over the base rate? This reads the oracle, so it reports and decides
nothing in the loop.
"""

import numpy as np
import polars as pl

from medq_engine import encoders, tables
from medq_engine.degradations import DEGRADATIONS
from medq_engine.simulation import from_png
from pipeline import models, paths, stage

NEAREST = 20


def lifts(
    anchors: np.ndarray, pool: np.ndarray, asked: pl.DataFrame, truth: pl.DataFrame
) -> pl.DataFrame:
    """Precision among the nearest over base rate, for every anchor (row of `asked`)."""
    rows = []
    for vector, row in zip(anchors, asked.iter_rows(named=True), strict=True):
        here = (truth["modality"] == row["modality"]).to_numpy()
        same = (truth["fault"] == row["attribute"]).to_numpy()[here]
        nearest = np.argsort(-(pool[here] @ vector), kind="stable")[:NEAREST]
        rows.append({**row, "lift": same[nearest].mean() / same.mean()})
    return pl.DataFrame(rows)


def main() -> None:
    params = paths.params()
    items = tables.read(paths.BENCHMARK / "dev" / "items.parquet", tables.ITEM)
    records = tables.read(paths.BENCHMARK / "dev" / "records.parquet", tables.RECORD)
    shown = {row["image_id"]: from_png(row["image"]["bytes"]) for row in records.to_dicts()}
    truth = tables.read(paths.ORACLE, tables.TRUTH).with_columns(
        fault=pl.col("findings").list.first().struct.field("label")
    )
    rare = [DEGRADATIONS[name].label for name in params.faults.rare]
    asked = (
        items.filter(pl.col("question_type") == "what", pl.col("severity") != "none")
        .with_columns(
            image_id=pl.col("image_ids").list.first(),
            kind=pl.when(pl.col("attribute").is_in(rare))
            .then(pl.lit("rare"))
            .otherwise(pl.lit("taught")),
        )
        .select("image_id", "modality", "attribute", "severity", "kind")
    )
    pool = tables.Images(paths.POOL)
    mllm = models.load(params, adapter=None)
    images, modalities = [pool[i] for i in truth["image_id"]], truth["modality"].to_list()
    for encoder in ("image-statistics", "vision-tower"):
        raw = encoders.encode(encoder, images, mllm, params.embeddings.images_per_batch)
        space = encoders.fit_space(raw, modalities)
        queries = [shown[i] for i in asked["image_id"]]
        found = encoders.encode(encoder, queries, mllm, params.embeddings.images_per_batch)
        anchors = space.unit(found, asked["modality"].to_list())
        lift = lifts(anchors, space.unit(raw, modalities), asked, truth)
        table = lift.group_by("kind", "severity").agg(
            pl.len().alias("anchors"), pl.col("lift").mean()
        )
        print(f"\n{encoder}: lift among the {NEAREST} nearest (simulated truth)")
        for kind, severity, anchors_, value in table.sort("kind", "severity").iter_rows():
            print(f"  {kind:<7} {severity:<7} {anchors_:4d} anchors  {value:5.1f} x base rate")


if __name__ == "__main__":
    stage.run(main)
