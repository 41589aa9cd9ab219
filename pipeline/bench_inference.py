"""bench-inference (`make bench-inference`, no stage): closed questions, the usual way and ours.

The usual loop asks one item at a time, R times, by sampled generation in batches of one. Ours
scores the options exactly behind a shared prefix and draws the R answers from the probabilities.
Both run here one after the other, so their ratio does not depend on the machine. Our probabilities
must be those of one plain pass over every prompt and option, and the R answers the same, or this
fails.
"""

import resource
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
import torch
from PIL import Image
from tqdm import tqdm

from medq_engine import evaluation, tables, training
from medq_engine.endpoints.answers import parse_option
from medq_engine.errors import MedqError
from medq_engine.language import prompt
from medq_engine.models import mllm, scoring
from medq_engine.models.local_model import LocalModel
from medq_engine.questions import Query
from pipeline import answering, machine, paths, shapes, stage

ITEMS, LARGE_ITEMS, REPEATS = 500, 24, 5
TOLERANCE = 1e-4
COPIES = 8
TEST = paths.BENCHMARK / "test"


def usual_loop(
    model: mllm.Mllm, images: Mapping[str, Image.Image], queries: Sequence[Query]
) -> list[list[str]]:
    """R answers to each query by sampled generation, one prompt at a time."""
    processor = model.processor
    found = []
    for query in tqdm(queries, desc="usual loop", mininterval=10):
        # Generous to the loop: it never writes more tokens than the longest option has.
        longest = max(len(mllm.encode_answer(processor, option)) for option in query.options)
        chat = mllm.render(processor, prompt(query.question, query.options))
        drawn = []
        for _ in range(REPEATS):
            inputs = mllm.process(processor, [chat], [[images[query.images[0]]]])
            with torch.inference_mode():
                out = model.base.generate(
                    **inputs, do_sample=True, top_k=0, top_p=1.0, max_new_tokens=longest
                )
            new = out[0, inputs["input_ids"].shape[1] :]
            drawn.append(processor.tokenizer.decode(new, skip_special_tokens=True))
        found.append(drawn)
    return found


def plain_probabilities(model: mllm.Mllm, image: Image.Image, query: Query) -> np.ndarray:
    """Option probabilities by one whole pass for every option: nothing batched, nothing shared."""
    chat = mllm.render(model.processor, prompt(query.question, query.options))
    inputs = mllm.process(model.processor, [chat], [[image]])
    start = inputs["input_ids"].shape[1]
    totals = []
    for option in query.options:
        answer = torch.tensor([mllm.encode_answer(model.processor, option)])
        ids = torch.cat([inputs["input_ids"], answer], 1)
        given = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.inference_mode():
            logp = torch.log_softmax(model.base(**given).logits[0, start - 1 : -1].double(), -1)
        totals.append(float(logp.gather(-1, answer[0][:, None]).sum()))
    weights = np.exp(np.array(totals) - max(totals))
    return weights / weights.sum()


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
    loop = usual_loop(model, images, queries)
    slow = time.perf_counter() - start
    plain = [plain_probabilities(model, images[query.images[0]], query) for query in queries]
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


def peak() -> float:
    """The most memory that this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Copies(Mapping[str, Image.Image]):
    """Images under COPIES names each, so that many items are of many images."""

    def __init__(self, images: tables.Images) -> None:
        self.images = images

    def __getitem__(self, name: str) -> Image.Image:
        return self.images[name.rpartition("-")[0]]

    def __iter__(self) -> Iterator[str]:
        return (f"{name}-{copy}" for name in self.images for copy in range(COPIES))

    def __len__(self) -> int:
        return COPIES * len(self.images)


def memory(model: LocalModel, asking: Mapping[str, object]) -> None:
    """Print what COPIES times the items cost in memory."""
    images = Copies(tables.Images(TEST / "records.parquet"))
    items = tables.read(TEST / "items.parquet", tables.ITEM).filter(pl.col("task") == "perception")
    peaks = []
    for copies in (1, COPIES):
        many = [
            items.with_columns(
                pl.col("item_id") + f"-{copy}",
                pl.col("image_ids").list.eval(pl.element() + f"-{copy}"),
            )
            for copy in range(copies)
        ]
        source = paths.WORK / "bench" / f"items-{copies}.parquet"
        tables.write(pl.concat(many), source, tables.ITEM)
        del many
        out = source.with_name("predictions.parquet")
        evaluation.predict_file(model, images, source, out, **asking)
        peaks.append(peak())
    print(
        f"\nmemory: {len(items)} items {peaks[0]:.0f} MB at most, "
        f"{COPIES * len(items)} items {peaks[1]:.0f} MB",
        flush=True,
    )


def main() -> None:
    params = paths.params()
    print(machine.described())
    images = tables.Images(TEST / "records.parquet")
    items = tables.read(TEST / "items.parquet", tables.ITEM).filter(pl.col("task") == "perception")
    by_image = items.sort(pl.col("image_ids").list.first(), "item_id")
    nano = answering.model(params, adapter=None)
    memory(nano, answering.settings(params))
    compare("nano", nano.mllm, images, by_image.head(ITEMS))
    training.deterministic(params.seed, params.model.threads)
    large = by_image.head(LARGE_ITEMS)
    compare("SmolVLM-256M's shape, random weights", shapes.smolvlm_256m(), images, large)


if __name__ == "__main__":
    stage.run(main)
