"""encoder-study (`make encoder-study`, no stage): which encoder finds a fault that nobody taught?

The dev images of every untaught fault are what the pool is searched by; of the images found first,
how many show the fault, over the base rate? Writes docs/results/retrieval.md and its figure. This
reads the oracle, so it reports and decides nothing in the loop.
"""

from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from medq_engine import encoder_page, encoder_report, encoders, tables
from medq_engine.config import Params
from medq_engine.degradations import DEGRADATIONS
from medq_engine.image_statistics import by_group
from medq_engine.models.contrastive import contrastive_features, fit_head
from medq_engine.models.features import by_depth
from medq_engine.parallel import map_indices
from medq_engine.phantom_lessons import draw_phantoms
from medq_engine.simulation import from_png
from pipeline import machine, models, paths, stage

PAGE = Path("docs/results/retrieval.md")
FIGURE = Path("docs/results/retrieval.png")
ALL, TOWER, OLD = "image-statistics", "vision-tower", "statistics: whole field"
# Shrinkage and usual share of each space, and the encoders that are compared in it (None: all).
SPACES = {
    "scaled": (1.0, 1.0, (ALL, TOWER, OLD)),
    "whitened by all": (encoders.SHRINKAGE, 1.0, (ALL, TOWER, OLD)),
    "whitened": (encoders.SHRINKAGE, encoders.USUAL, None),
}
PHANTOMS = 3000


def group_at(index: int, images: Sequence[Image.Image]) -> dict[str, np.ndarray]:
    """The image statistics of one image, by group."""
    return by_group(images[index])


def statistics(images: Sequence[Image.Image], what: str) -> dict[str, np.ndarray]:
    """Image statistics by group, each of shape (images, features); by all cores."""
    found = map_indices(partial(group_at, images=images), len(images), what)
    return {n: np.stack([groups[n] for groups in found], dtype=np.float32) for n in found[0]}


def contrastive(
    params: Params, found: np.ndarray, pool: slice, modalities: Sequence[str]
) -> np.ndarray:
    """Features of a head on the image statistics, learnt from phantoms with taught faults."""
    taught = params.faults.taught
    phantoms = draw_phantoms(PHANTOMS, params.images.size, taught, f"contrast/{params.seed}")
    shown = statistics([from_png(phantom.png) for phantom in phantoms], "statistics of phantoms")
    space = encoders.fit_space(found[pool], modalities[pool])
    known = [phantom.modality for phantom in phantoms]
    vectors = space.unit(np.hstack(list(shown.values())), known)
    labels = [f"{p.modality}: {[(f.label, f.severity) for f in p.findings]}" for p in phantoms]
    head = fit_head(vectors, labels, params.seed)
    return contrastive_features(head, space.unit(found, modalities))


def features(
    params: Params, images: Sequence[Image.Image], pool: slice, modalities: Sequence[str]
) -> dict[str, np.ndarray]:
    """Every encoder's features of the images, by its name; those at `pool` are the pool's."""
    groups = statistics(images, "image statistics")
    joined = np.hstack(list(groups.values()))
    mllm = models.load(params, adapter=None)
    depths = by_depth(mllm, images, params.embeddings.images_per_batch)
    tower = np.hstack([depths[len(depths) // 2], depths[-1]])
    return (
        {f"vision tower, depth {k} of {len(depths) - 1}": d for k, d in enumerate(depths)}
        | {TOWER: tower}
        | {f"statistics: {name}": values for name, values in groups.items()}
        | {"contrastive head": contrastive(params, joined, pool, modalities)}
        | {f"{ALL} and {TOWER}": np.hstack([joined, tower]), ALL: joined}
    )


def main() -> None:
    params = paths.params()
    records = paths.BENCHMARK / "dev" / "records.parquet"
    dev = tables.read(records, tables.RECORD).select("image_id", "modality")
    items = tables.read(paths.BENCHMARK / "dev" / "items.parquet", tables.ITEM)
    items = items.filter(pl.col("task") == "perception").select("image_ids", "findings")
    known = {image_ids[0]: findings for image_ids, findings in items.iter_rows()}
    truth = tables.read(paths.ORACLE, tables.TRUTH)
    modalities = [*dev["modality"], *truth["modality"]]
    here, pool = slice(len(dev)), slice(len(dev), None)
    asked = encoder_report.tasks(
        [known[image_id] for image_id in dev["image_id"]],
        modalities[here],
        truth["findings"].to_list(),
        modalities[pool],
        [DEGRADATIONS[name].label for name in params.faults.rare],
    )
    shown = tables.Images(records, paths.POOL)
    images = [shown[image_id] for image_id in [*dev["image_id"], *truth["image_id"]]]
    rows = []
    for name, found in features(params, images, pool, modalities).items():
        for space, (shrinkage, usual, compared) in SPACES.items():
            if compared is None or name in compared:
                frame = encoders.fit_space(found[pool], modalities[pool], shrinkage, usual)
                vectors = frame.unit(found, modalities)
                rows.append(
                    encoder_report.measure(name, space, vectors[here], vectors[pool], asked)
                )
                print(f"{name}, {space}: {rows[-1].lift['contrast', 50].mean():.1f} x", flush=True)
    made = f"{date.today().isoformat()}, commit `{machine.commit()}`"
    page = encoder_page.page(rows, rows[-1], asked, made, params.seed)
    tables.replace(PAGE, page.encode())
    encoder_page.draw(rows, rows[-1], asked, params.seed, FIGURE)
    print(f"\n{page}")


if __name__ == "__main__":
    stage.run(main)
