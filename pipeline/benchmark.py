"""benchmark: dev, gate and test, by subject, and the hashes that guard against leaks."""

from medq_engine import benchmark, dedup, tables, worlds
from medq_engine.simulation import from_png
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    scenes = tables.read(paths.SCENES, tables.SCENE)
    names = worlds.names_by_modality([*params.faults.taught, *params.faults.rare])
    hashes = []
    for split, count in params.benchmark.records.items():
        world = worlds.World(
            split=split,
            size=params.images.size,
            scenes=worlds.scenes_of(scenes, split),
            phantom_share=0.0,
            fill_below=params.images.fill_below,
            plan=worlds.covering_plan(names, count, params.seed, split),
            per_scene=2,
            seed=params.seed,
        )
        made = worlds.make_all(world)
        records = tables.table((one.record for one in made), tables.RECORD)
        items = tables.table(benchmark.items_of(made, split, params.seed), tables.ITEM)
        tables.write(records, paths.BENCHMARK / split / "records.parquet", tables.RECORD)
        tables.write(items, paths.BENCHMARK / split / "items.parquet", tables.ITEM)
        bits = dedup.perceptual_hashes([from_png(i["bytes"]) for i in records["image"]])
        hashes += zip(records["image_id"], dedup.to_hex(bits), strict=True)
    rows = ({"image_id": image_id, "phash": text} for image_id, text in hashes)
    tables.write(tables.table(rows, tables.HASH), paths.HASHES, tables.HASH)


if __name__ == "__main__":
    stage.run(main)
