"""benchmark-report: what the benchmark holds, whether it can be guessed blind, its datasheet."""

from medq_engine import benchmark, blind, datasheet, figures, sources, tables, worlds
from pipeline import paths, stage

ABOUT = datasheet.About(
    name="medq-engine-embedded",
    description=(
        "Does a multimodal model see what is wrong with a medical image? Questions, descriptions "
        "and comparisons about MRI, CT, histopathology, endoscopy and fundus images with simulated "
        "degradations."
    ),
    version="0.2.0",
    url="https://arxiv.org/abs/2603.19863",
    licence="https://www.apache.org/licenses/LICENSE-2.0",
    creator="MedQ-Engine",
    published="2026-11-22",
    citation="@misc{medqengine2026, title={MedQ-Engine}, eprint={2603.19863}, year={2026}}",
)


def main() -> None:
    params = paths.params()
    names = worlds.names_by_modality([*params.faults.taught, *params.faults.rare])
    items = {
        split: tables.read(paths.BENCHMARK / split / "items.parquet", tables.ITEM)
        for split in params.benchmark.records
    }
    found = {
        "blind": blind.measure(items, params.seed),
        "splits": {split: benchmark.coverage(rows, names) for split, rows in items.items()},
    }
    tables.write_json(found, paths.METRICS / "benchmark.json")
    figures.blind_baselines(found["blind"], paths.FIGURES / "blind.png")
    manifest = sources.load_manifest(paths.MANIFEST)
    sheet = datasheet.croissant(paths.BENCHMARK, ABOUT, manifest)
    tables.write_json(sheet, paths.BENCHMARK / "croissant.json")


if __name__ == "__main__":
    stage.run(main)
