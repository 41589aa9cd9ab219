"""bench-memory (a part of `make bench-inference`, no stage): does memory grow with the items?

The test split is asked once, and then under COPIES names for every image and item, in a process
that does nothing else.
"""

import resource
from collections.abc import Iterator, Mapping

import polars as pl
from PIL import Image

from medq_engine import evaluation, tables
from pipeline import answering, machine, paths, stage

COPIES = 8
TEST = paths.BENCHMARK / "test"


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


def main() -> None:
    params = paths.params()
    print(machine.described())
    model, asking = answering.model(params, adapter=None), answering.settings(params)
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


if __name__ == "__main__":
    stage.run(main)
