"""retrieve: pool images that look like the failures, and a random control arm."""

import polars as pl

from medq_engine import dedup, encoders, retrieval, sheets, tables
from medq_engine.simulation import seeded
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    settings = params.retrieve
    prototypes = tables.read(paths.PROTOTYPES, tables.PROTOTYPE)
    pool = tables.read(paths.EMBEDDINGS, tables.EMBEDDING)
    history = tables.read(paths.HISTORY, tables.LABEL)
    benchmark = dedup.from_hex(tables.read(paths.HASHES, tables.HASH)["phash"].to_list())
    raw, modalities = tables.matrix(pool["vector"]), pool["modality"].to_list()
    vectors = encoders.fit_space(raw, modalities).unit(raw, modalities)

    images = tables.Images(paths.POOL)
    hashes = dedup.perceptual_hashes([images[image_id] for image_id in pool["image_id"]])
    leaks = dedup.nearest_bits(hashes, benchmark) <= settings.leakage_bits
    labelled = pool["image_id"].is_in(history["image_id"].implode()).to_numpy()
    found = retrieval.plan(
        prototypes,
        vectors,
        modalities,
        barred=leaks | labelled,
        settings=settings,
        rng=seeded("retrieve", params.seed, params.round),
    )
    rows = [{**row, "image_id": pool["image_id"][row.pop("image")]} for row in found]
    candidates = tables.table(rows, tables.CANDIDATE)
    tables.write(candidates, paths.CANDIDATES, tables.CANDIDATE)
    tables.write_json(
        {
            "candidates": len(candidates),
            "control": len(candidates.filter(pl.col("arm") == "control")),
            "prototypes_served": candidates["prototype_id"].n_unique(),
            "mean_cosine": candidates["cosine"].mean(),
            "left_out": {"leaks": int(leaks.sum()), "labelled_before": int(labelled.sum())},
        },
        paths.METRICS / "retrieve.json",
    )
    sheets.candidate_sheet(prototypes, candidates, images, paths.FIGURES / "candidates.png")
    print(f"retrieve: {len(candidates)} candidates, {int(leaks.sum())} leaks left out")


if __name__ == "__main__":
    stage.run(main)
