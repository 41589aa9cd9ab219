"""quality-gate: gate decides between challenger and incumbent, test is reported; the report.

The verdict is a metric and not an exit code: a failed challenger is a result, not an error.
"""

import json

from medq_engine import evaluation, gate, round_summary, tables
from pipeline import answering, paths, reporting, stage

# Who answers which split: the base stands on test only, as where the first round began.
ASKED = {
    "base": (None, ["test"]),
    "incumbent": (paths.CURRENT, ["gate", "test"]),
    "challenger": (paths.CHALLENGER, ["gate", "test"]),
}
SUMMED = ("annotate_import", "route", "evaluate", "baselines")


def load(name: str) -> dict[str, object]:
    """The metrics of an earlier stage."""
    return json.loads((paths.METRICS / f"{name}.json").read_text(encoding="utf-8"))


def main() -> None:
    params = paths.params()
    items, images, predictions = {}, {}, {}
    for split in ("gate", "test"):
        folder = paths.BENCHMARK / split
        items[split] = tables.read(folder / "items.parquet", tables.ITEM)
        images[split] = tables.Images(folder / "records.parquet")
    asking = answering.settings(params)
    for role, (adapter, splits) in ASKED.items():
        model = answering.model(params, adapter)
        for split in splits:
            source = paths.BENCHMARK / split / "items.parquet"
            path = paths.ROUND / f"{split}-{role}.parquet"
            evaluation.predict_file(model, images[split], source, path, **asking)
            predictions[role, split] = tables.read(path, tables.PREDICTION)
    metrics = gate.hold(items, predictions, params.quality_gate, params.seed)
    tables.write_json(metrics, paths.METRICS / "gate.json")

    summary = round_summary.summary(metrics, *(load(name) for name in SUMMED))
    tables.write_json(summary, paths.METRICS / "summary.json")
    reporting.write(params, metrics, items, images, predictions)
    print(f"quality-gate: {metrics['verdict']}: {metrics['reason']}")


if __name__ == "__main__":
    stage.run(main)
