"""pool: unlabelled shards with a realistic mix of faults; their truth goes to the oracle, apart."""

from medq_engine import tables, worlds
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    scenes = tables.read(paths.SCENES, tables.SCENE)
    names = worlds.names_by_modality([*params.faults.taught, *params.faults.rare])
    pool = params.pool
    shares = worlds.pool_shares(names, params.faults.rare, pool.common_share, pool.rare_share)
    world = worlds.World(
        split="pool",
        size=params.images.size,
        scenes=worlds.scenes_of(scenes, "pool"),
        phantom_share=pool.phantom_share,
        fill_below=params.images.fill_below,
        plan=worlds.drawn_plan(shares, pool.compound_share, pool.images, params.seed, "pool"),
        per_scene=1,
        seed=params.seed,
    )
    made = worlds.make_all(world)
    for number, start in enumerate(range(0, len(made), pool.shard_images)):
        rows = (one.record for one in made[start : start + pool.shard_images])
        path = paths.POOL / f"shard-{number:03d}.parquet"
        tables.write(tables.table(rows, tables.RECORD), path, tables.RECORD)
    truth = (
        {
            "image_id": one.record["image_id"],
            "modality": one.record["modality"],
            "findings": [vars(finding) for finding in one.findings],
        }
        for one in made
    )
    tables.write(tables.table(truth, tables.TRUTH), paths.ORACLE, tables.TRUTH)


if __name__ == "__main__":
    stage.run(main)
