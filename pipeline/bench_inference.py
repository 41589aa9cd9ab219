"""bench-inference (`make bench-inference`, no stage): closed questions, the usual way and ours.

The usual loop asks one item at a time, R times, by sampled generation in batches of one. Ours
scores the options exactly behind a shared prefix and draws the R answers from the probabilities.
Both run here one after the other, so their ratio does not depend on the machine. Our probabilities
must be those of one plain pass over every prompt and option, and the R answers the same, or this
fails.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from PIL import Image

from medq_engine import evaluation, tables, training
from medq_engine.endpoints.answers import parse_option
from medq_engine.errors import MedqError
from medq_engine.models import mllm, scoring
from pipeline import machine, models, paths, shapes, stage, usual

ITEMS, LARGE_ITEMS, REPEATS = 500, 24, 5
TOLERANCE = 1e-4
TEST = paths.BENCHMARK / "test"


def compare(
    name: str, model: mllm.Mllm, images: Mapping[str, Image.Image], items: pl.DataFrame
) -> None:
    """Time both ways on the same items, check that they agree, and print the ratio.

    Raises:
        MedqError: Our probabilities or answers are not those of plain passes.
    """
    rows = items.to_dicts()
    queries = [evaluation.query_of(row) for row in rows]

    def answers(probabilities: Sequence[np.ndarray]) -> list[list[str]]:
        return [
            evaluation.sample_answers(row["item_id"], row["options"], p, REPEATS, 1.0, seed=0)
            for row, p in zip(rows, probabilities, strict=True)
        ]

    scoring.score(model, images, queries[:2])  # the first pass of a process is slower
    start = time.perf_counter()
    ours = [found.probabilities for found in scoring.score(model, images, queries)]
    drawn = answers(ours)
    fast = time.perf_counter() - start
    start = time.perf_counter()
    loop = usual.sampled_answers(model, images, queries, REPEATS)
    slow = time.perf_counter() - start
    plain = [usual.plain_probabilities(model, images[query.images[0]], query) for query in queries]
    apart = max(float(np.abs(a - b).max()) for a, b in zip(ours, plain, strict=True))
    same = np.mean([a == b for a, b in zip(drawn, answers(plain), strict=True)])
    likeliest = [row["options"][int(p.argmax())] for row, p in zip(rows, ours, strict=True)]
    # What the loop drew freely falls on the options as our probabilities say.
    read = [
        (chosen, option)
        for row, option, texts in zip(rows, likeliest, loop, strict=True)
        for text in texts
        if (chosen := parse_option(text, row["options"])) is not None
    ]
    print(
        f"\n{name}: {len(rows)} items, R = {REPEATS}\n"
        f"  usual loop {slow:.1f} s, ours {fast:.2f} s: {slow / fast:.1f} x as fast\n"
        f"  largest difference from plain passes {apart:.1e}, same R answers {same:.1%}\n"
        f"  {len(read) / (REPEATS * len(rows)):.1%} of the loop's answers name an option, of these "
        f"{np.mean([a == b for a, b in read] or [np.nan]):.1%} the one that is likeliest for us; "
        f"its mean probability is {np.mean([p.max() for p in ours]):.1%}",
        flush=True,
    )
    if apart > TOLERANCE or same < 1:
        raise MedqError(f"{name}: ours and plain passes disagree by {apart:.1e}")


def main() -> None:
    params = paths.params()
    print(machine.described())
    images = tables.Images(TEST / "records.parquet")
    items = tables.read(TEST / "items.parquet", tables.ITEM).filter(pl.col("task") == "perception")
    by_image = items.sort(pl.col("image_ids").list.first(), "item_id")
    compare("nano", models.load(params, adapter=None), images, by_image.head(ITEMS))
    training.deterministic(params.seed, params.model.threads)
    large = by_image.head(LARGE_ITEMS)
    compare("SmolVLM-256M's shape, random weights", shapes.smolvlm_256m(), images, large)


if __name__ == "__main__":
    stage.run(main)
