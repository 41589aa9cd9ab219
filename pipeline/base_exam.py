"""base-exam: what the base has learnt, on held-out phantoms with the faults that it was taught."""

from medq_engine import benchmark, evaluation, tables, worlds
from pipeline import models, paths, stage


def main() -> None:
    params = paths.params()
    names = worlds.names_by_modality(params.faults.taught)
    world = worlds.World(
        split="exam",
        size=params.images.size,
        scenes={},
        phantom_share=1.0,
        fill_below=params.images.fill_below,
        shares=worlds.benchmark_shares(names, benchmark.FINE_SHARE),
        seed=params.seed,
    )
    made = worlds.make_all(world, params.base_exam.images)
    records = tables.table((one.record for one in made), tables.RECORD)
    rows = [row for one in made for row in benchmark.items_of(one, "exam", params.seed)]
    items = tables.table(rows, tables.ITEM)
    mllm = models.load(params.model, params.seed, adapter=None)
    settings = models.answering(params)
    predictions = evaluation.predict(mllm, records, items, **settings)
    found = evaluation.summary(items, predictions)
    tables.write_json(found, paths.METRICS / "base.json")
    print(f"base on phantoms and faults that it was taught: {found['accuracy']:.1%}")


if __name__ == "__main__":
    stage.run(main)
