"""base-exam: what the base has learnt, on held-out phantoms with the faults that it was taught."""

from medq_engine import benchmark, evaluation, tables, worlds
from medq_engine.simulation import from_png
from pipeline import answering, paths, stage


def main() -> None:
    params = paths.params()
    names = worlds.names_by_modality(params.faults.taught)
    world = worlds.World(
        split="exam",
        size=params.images.size,
        scenes={},
        phantom_share=1.0,
        fill_below=params.images.fill_below,
        plan=worlds.covering_plan(names, params.base_exam.images, params.seed, "exam"),
        per_scene=1,
        seed=params.seed,
    )
    made = worlds.make_all(world)
    records = tables.table((one.record for one in made), tables.RECORD)
    items = tables.table(benchmark.items_of(made, "exam", params.seed), tables.ITEM)
    images = {row["image_id"]: from_png(row["image"]["bytes"]) for row in records.to_dicts()}
    model = answering.model(params, adapter=None)
    predictions = evaluation.predict(model, images, items, **answering.settings(params))
    found = evaluation.summary(items, predictions)
    tables.write_json(found, paths.METRICS / "base.json")
    print(f"base on phantoms and faults that it was taught: {found['accuracy']:.1%}")


if __name__ == "__main__":
    stage.run(main)
