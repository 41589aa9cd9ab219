"""`make calibration`: the strength of mild and severe, for every degradation in every modality.

Writes src/medq_engine/degradations/strengths.json, the table, its plot and the contact sheets in
docs/degradations/. Run it after a change of a degradation's physics or bands; benchmark, pool and
base follow from it. The reference set is real scenes of dev and pool, and phantoms.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from medq_engine import atlas, calibration, phantoms, tables, worlds
from medq_engine.degradations import DEGRADATIONS, for_modality
from medq_engine.parallel import map_indices
from medq_engine.simulation import seeded
from medq_engine.vocabulary import MODALITIES, Modality
from pipeline import paths, stage

REAL, PHANTOMS = 8, 4
DOCS = Path("docs/degradations")
STRENGTHS = Path("src/medq_engine/degradations/strengths.json")


def reference_images(modality: Modality, scenes: pl.DataFrame, size: int) -> list[np.ndarray]:
    """REAL scenes spread over dev and pool, and phantoms up to REAL + PHANTOMS images."""
    real = [
        scene.image
        for split in ("dev", "pool")
        for scene in worlds.scenes_of(scenes, split).get(modality, [])
    ]
    chosen = np.unique(np.linspace(0, len(real) - 1, REAL).astype(int)) if real else []
    drawn = [
        phantoms.draw(modality, size, seeded("calibration", modality, number))
        for number in range(REAL + PHANTOMS - len(chosen))
    ]
    return [real[i] for i in chosen] + drawn


def levels(
    index: int, cells: Sequence[tuple[str, Modality]], images: Mapping[Modality, list[np.ndarray]]
) -> list[dict[str, object]]:
    """Mild and severe of the index-th cell (degradation, modality)."""
    name, modality = cells[index]
    return calibration.levels(DEGRADATIONS[name], modality, images[modality])


def main() -> None:
    params = paths.params()
    scenes = tables.read(paths.SCENES, tables.SCENE)
    images = {m: reference_images(m, scenes, params.images.size) for m in MODALITIES}
    cells = [(d.name, m) for m in MODALITIES for d in for_modality(m)]
    found = map_indices(partial(levels, cells=cells, images=images), len(cells), "calibration")
    table = tables.table((row for rows in found for row in rows), calibration.LEVEL)
    tables.write_json(calibration.strengths(table), STRENGTHS)
    DOCS.mkdir(parents=True, exist_ok=True)
    table.write_csv(DOCS / "calibration.csv")
    atlas.loss_plot(table, DOCS / "calibration.png")
    tables.replace(DOCS / "README.md", atlas.page(table).encode())
    for modality in MODALITIES:
        here = table.filter(pl.col("modality") == modality)
        atlas.sheet(here, images[modality], DOCS / f"{modality}.png")


if __name__ == "__main__":
    stage.run(main)
