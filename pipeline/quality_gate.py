"""quality-gate: gate decides between challenger and incumbent, test is reported; the report.

The verdict is a metric and not an exit code: a failed challenger is a result, not an error.
"""

import json

from medq_engine import evaluation, figures, gate, report, tables
from medq_engine.simulation import seeded
from pipeline import models, paths

ROLES = {"incumbent": paths.CURRENT, "challenger": paths.CHALLENGER}


def main() -> None:
    params = paths.params()
    items, records, predictions = {}, {}, {}
    for split in ("gate", "test"):
        folder = paths.BENCHMARK / split
        items[split] = tables.read(folder / "items.parquet", tables.ITEM)
        records[split] = tables.read(folder / "records.parquet", tables.RECORD)
    for role, adapter in ROLES.items():
        mllm = models.load(params.model, params.seed, adapter)
        for split in items:
            predictions[role, split] = evaluation.predict(
                mllm, records[split], items[split], **models.answering(params)
            )
            path = paths.ROUND / f"{split}-{role}.parquet"
            tables.write(predictions[role, split], path, tables.PREDICTION)

    found = {}
    for split in items:
        pair = (predictions["incumbent", split], predictions["challenger", split])
        rng = seeded("gate", params.seed, split)
        settings = params.quality_gate
        found[split] = gate.compare(
            items[split], *pair, settings.resamples, settings.confidence, rng
        )
    # The verdict is a function of the gate split alone; test stands beside it and is not asked.
    decision = gate.decide(found["gate"], params.quality_gate.margin)
    metrics = {**vars(decision), **gate.as_metrics(found)}
    tables.write_json(metrics, paths.METRICS / "gate.json")

    modalities = metrics["gate"]["modality"]
    margin = params.quality_gate.margin
    figures.forest(metrics["gate"]["overall"], modalities, margin, paths.FIGURES / "forest.png")
    before = json.loads((paths.METRICS / "evaluate.json").read_text(encoding="utf-8"))
    figures.slice_bars(before, paths.FIGURES / "slices.png")
    context = {
        "params": {
            "seed": params.seed,
            "model": tables.plain(params.model),
            "evaluate": tables.plain(params.evaluate),
            "cluster": tables.plain(params.cluster),
            "retrieve": tables.plain(params.retrieve),
            "route": tables.plain(params.route),
            "annotate_import": tables.plain(params.annotate_import),
            "finetune": tables.plain(params.finetune),
            "quality_gate": tables.plain(params.quality_gate),
        },
        "incumbent": tables.plain(params.incumbent),
        "round": params.round,
        "tag": params.tag,
        "gate": metrics,
        "prototypes": tables.read(paths.PROTOTYPES, tables.PROTOTYPE),
        "figures": {path.stem: path for path in sorted(paths.FIGURES.glob("*.png"))},
        "examples": report.examples(
            items["gate"], records["gate"], *(predictions[role, "gate"] for role in ROLES)
        ),
        **report.metrics_of(paths.METRICS),
        "baselines": report.baselines_of(paths.METRICS, paths.BASELINES),
    }
    tables.replace(paths.REPORTS / f"{params.tag}.html", report.render(context).encode())
    print(f"quality-gate: {decision.verdict}: {decision.reason}")


if __name__ == "__main__":
    main()
