"""quality-gate: gate decides between challenger and incumbent, test is reported; the report.

The verdict is a metric and not an exit code: a failed challenger is a result, not an error.
"""

from medq_engine import evaluation, figures, gate, heatmap, report, tables
from pipeline import answering, paths, stage

# Who answers which split: the base stands on test only, as where the first round began.
ASKED = {
    "base": (None, ["test"]),
    "incumbent": (paths.CURRENT, ["gate", "test"]),
    "challenger": (paths.CHALLENGER, ["gate", "test"]),
}


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

    stages = report.metrics_of(paths.METRICS)
    overall, by_modality = metrics["gate"]["overall"], metrics["gate"]["modality"]
    margin = params.quality_gate.margin
    figures.forest(overall, by_modality, margin, paths.FIGURES / "forest.png")
    figures.slice_bars(stages["evaluate"], paths.FIGURES / "slices.png")
    base = predictions["base", "test"]
    heatmap.weak_spots(items["test"], base, paths.FIGURES / "weak_spots.png")
    pair = [predictions[role, "gate"] for role in ("incumbent", "challenger")]
    context = {
        **stages,
        "round": params.round,
        "tag": params.tag,
        "incumbent": tables.plain(params.incumbent),
        "gate": metrics,
        "prototypes": tables.read(paths.PROTOTYPES, tables.PROTOTYPE),
        "figures": {path.stem: path for path in sorted(paths.FIGURES.glob("*.png"))},
        "examples": report.examples(items["gate"], images["gate"], *pair),
        "baselines": report.baselines_of(paths.METRICS, paths.BASELINES),
        "params": {
            "seed": params.seed,
            "model": tables.plain(params.model),
            "drafts": tables.plain(params.drafts),
            "expert": tables.plain(params.expert),
            "evaluate": tables.plain(params.evaluate),
            "cluster": tables.plain(params.cluster),
            "retrieve": tables.plain(params.retrieve),
            "route": tables.plain(params.route),
            "annotate_import": tables.plain(params.annotate_import),
            "finetune": tables.plain(params.finetune),
            "quality_gate": tables.plain(params.quality_gate),
        },
    }
    tables.replace(paths.REPORTS / f"{params.tag}.html", report.render(context).encode())
    print(f"quality-gate: {metrics['verdict']}: {metrics['reason']}")


if __name__ == "__main__":
    stage.run(main)
