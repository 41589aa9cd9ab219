"""baselines: the simulated annotators on the benchmark's test items, measured like any model."""

from medq_engine import annotators, tables
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    items = tables.read(paths.BENCHMARK / "test" / "items.parquet", tables.ITEM)
    found = annotators.baselines(items, params.drafts.accuracy, params.expert.accuracy, params.seed)
    tables.write_json(found, paths.METRICS / "baselines.json")


if __name__ == "__main__":
    stage.run(main)
