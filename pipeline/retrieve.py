"""retrieve: pool images that look like the failures, usual ones beside them, a control arm."""

from functools import partial

import numpy as np
import polars as pl

from medq_engine import beliefs, dedup, encoders, retrieval, sampling, sheets, tables, worth
from medq_engine.config import Params
from medq_engine.language import question
from medq_engine.payoff import PAYOFF, kinds_of, name_of
from medq_engine.questions import Query
from medq_engine.simulation import seeded
from pipeline import answering, paths, stage


def fault_errors() -> dict[tuple[str, str], float]:
    """The incumbent's error rate on dev, by modality and fault."""
    items = tables.read(paths.BENCHMARK / "dev" / "items.parquet", tables.ITEM)
    predictions = tables.read(paths.PREDICTIONS, tables.PREDICTION)
    asked = items.filter(pl.col("task") == "perception")
    return worth.fault_errors(asked.join(predictions, on="item_id", suffix="_given"))


def distributions(
    params: Params, images: tables.Images, pool: pl.DataFrame, rows: np.ndarray
) -> list[np.ndarray]:
    """The incumbent's answer distribution to the what-question about each of some pool images."""
    asked = pool[rows.tolist()].select("image_id", "modality").iter_rows()
    queries = [Query((image_id,), *question("what", modality)) for image_id, modality in asked]
    scored = answering.model(params, paths.CURRENT).score(images, queries)
    return [one.probabilities for one in scored]


def cured(payoffs: pl.DataFrame, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """What a reading of each kind is believed to cure; nothing before the second round."""
    if not len(payoffs):
        return {}
    rows = beliefs.per_reading(payoffs, rng)
    told = rows.drop("modality", "attribute").to_dicts()
    return dict(zip(map(name_of, kinds_of(rows)), told, strict=True))


def main() -> None:
    params = paths.params()
    settings = params.retrieve
    prototypes = tables.read(paths.PROTOTYPES, tables.PROTOTYPE)
    pool = tables.read(paths.EMBEDDINGS, tables.EMBEDDING)
    history = tables.read(paths.HISTORY, tables.LABEL)
    payoffs = tables.read(paths.PAYOFFS, PAYOFF)
    benchmark = dedup.from_hex(tables.read(paths.HASHES, tables.HASH)["phash"].to_list())
    raw, modalities = tables.matrix(pool["vector"]), pool["modality"].to_list()
    whitened = encoders.fit_space(raw, modalities).whitened(raw, modalities)

    images = tables.Images(paths.POOL)
    hashes = dedup.perceptual_hashes([images[image_id] for image_id in pool["image_id"]])
    leaks = dedup.nearest_bits(hashes, benchmark) <= settings.leakage_bits
    labelled = pool["image_id"].is_in(history["image_id"].implode()).to_numpy()
    rng = seeded("retrieve", params.seed, params.round)
    barred = leaks | labelled
    if settings.strategy == "prototypes":
        found = retrieval.plan(
            prototypes,
            whitened,
            modalities,
            [images.source[image_id] for image_id in pool["image_id"]],
            barred=barred,
            payoffs=payoffs,
            errors=fault_errors(),
            settings=settings,
            rng=rng,
        )
    else:
        free, known = np.flatnonzero(~barred), np.flatnonzero(labelled)
        answers = partial(distributions, params, images, pool)
        taken = sampling.choose(
            settings.strategy,
            encoders.of_length_one(whitened),
            free,
            known,
            settings.budget,
            answers,
            rng,
        )
        arm = "control" if settings.strategy == "random" else settings.strategy
        found = retrieval.Plan([retrieval.chosen(image, arm) for image in taken], [])
    rows = [{**row, "image_id": pool["image_id"][row.pop("image")]} for row in found.rows]
    candidates = tables.table(rows, tables.CANDIDATE)
    tables.write(candidates, paths.CANDIDATES, tables.CANDIDATE)
    tables.write_json(
        {
            "candidates": len(candidates),
            "usual": len(candidates.filter(pl.col("arm") == "usual")),
            "control": len(candidates.filter(pl.col("arm") == "control")),
            "prototypes_served": candidates["prototype_id"].n_unique(),
            "mean_cosine": candidates["cosine"].mean(),
            "left_out": {"leaks": int(leaks.sum()), "labelled_before": int(labelled.sum())},
            "dropped": {name_of(one.kind): one.reason for one in found.dropped},
            "cured": cured(payoffs, rng),
        },
        paths.METRICS / "retrieve.json",
    )
    sheets.candidate_sheet(prototypes, candidates, images, paths.FIGURES / "candidates.png")
    print(f"retrieve: {len(candidates)} candidates, {int(leaks.sum())} leaks left out")


if __name__ == "__main__":
    stage.run(main)
