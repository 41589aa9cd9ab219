"""evaluate: the incumbent on dev: answers, failures, calibration, descriptions."""

from medq_engine import evaluation, tables
from pipeline import models, paths, stage


def main() -> None:
    params = paths.params()
    records = tables.read(paths.BENCHMARK / "dev" / "records.parquet", tables.RECORD)
    items = tables.read(paths.BENCHMARK / "dev" / "items.parquet", tables.ITEM)
    mllm = models.load(params.model, params.seed, adapter=paths.CURRENT)
    predictions = evaluation.predict(mllm, records, items, **models.answering(params))
    found = evaluation.summary(items, predictions)
    tables.write(predictions, paths.PREDICTIONS, tables.PREDICTION)
    tables.write_json(found, paths.METRICS / "evaluate.json")
    print(f"evaluate: {found['accuracy']:.1%} on dev, {found['failures']} persistent failures")


if __name__ == "__main__":
    stage.run(main)
