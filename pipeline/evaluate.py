"""evaluate: the incumbent on dev: answers, failures, calibration, descriptions."""

from medq_engine import evaluation, tables
from pipeline import answering, paths, stage

DEV = paths.BENCHMARK / "dev"


def main() -> None:
    params = paths.params()
    model = answering.model(params, adapter=paths.CURRENT)
    images = tables.Images(DEV / "records.parquet")
    evaluation.predict_file(
        model, images, DEV / "items.parquet", paths.PREDICTIONS, **answering.settings(params)
    )
    items = tables.read(DEV / "items.parquet", tables.ITEM)
    predictions = tables.read(paths.PREDICTIONS, tables.PREDICTION)
    found = evaluation.summary(items, predictions)
    found["recalibration"] = evaluation.recalibration(items, predictions, params.seed)
    tables.write_json(found, paths.METRICS / "evaluate.json")
    print(f"evaluate: {found['accuracy']:.1%} on dev, {found['failures']} persistent failures")


if __name__ == "__main__":
    stage.run(main)
