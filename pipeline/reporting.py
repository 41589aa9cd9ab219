"""The report of a round: one page, with its figures."""

from collections.abc import Mapping

import polars as pl

from medq_engine import confusion, forecasts, lineage, remaining, report, rounds, tables
from medq_engine.config import Params
from pipeline import drawing, paths
from pipeline.drawing import BOTH


def settings(params: Params) -> dict[str, object]:
    """The params that the report shows, as plain values: all that decide what a round does."""
    return {
        "seed": params.seed,
        "model": tables.plain(params.model),
        "drafts": tables.plain(params.drafts),
        "expert": tables.plain(params.expert),
        "costs": tables.plain(params.costs),
        "evaluate": tables.plain(params.evaluate),
        "cluster": tables.plain(params.cluster),
        "retrieve": tables.plain(params.retrieve),
        "route": tables.plain(params.route),
        "annotate_import": tables.plain(params.annotate_import),
        "finetune": tables.plain(params.finetune),
        "quality_gate": tables.plain(params.quality_gate),
    }


def write(
    params: Params,
    metrics: Mapping[str, object],
    items: Mapping[str, pl.DataFrame],
    images: Mapping[str, tables.Images],
    predictions: Mapping[tuple[str, str], pl.DataFrame],
) -> None:
    """Draw the figures, then write the page.

    Args:
        params: Of the round.
        metrics: metrics/gate.json.
        items, images: By split, gate and test.
        predictions: Schema PREDICTION by role and split.
    """
    stages = report.metrics_of(paths.METRICS)
    prototypes = tables.read(paths.PROTOTYPES, tables.PROTOTYPE)
    on_gate, on_test = ([predictions[role, split] for role in BOTH] for split in ("gate", "test"))
    counts = confusion.confusions(items["test"], *on_test)
    bins = {
        role: forecasts.reliability_bins(items["test"], said)
        for role, said in zip(BOTH, on_test, strict=True)
    }
    matrices = drawing.draw(params, stages, metrics, items["test"], predictions, bins, counts)
    drawing.plot(stages, metrics, items["test"], predictions, bins)

    now = settings(params)
    history = params.history
    before = lineage.parsed(rounds.committed(paths.PARAMS, history.rev)) if history else now
    read = {
        "gate": paths.BENCHMARK / "gate",
        "test": paths.BENCHMARK / "test",
        "base": paths.BASE,
        "incumbent": paths.CURRENT,
        "challenger": paths.CHALLENGER,
    }
    context = {
        **stages,
        "round": params.round,
        "tag": params.tag,
        "incumbent": tables.plain(params.incumbent),
        "history": tables.plain(history),
        "gate": metrics,
        "prototypes": prototypes,
        "figures": {path.stem: path for path in sorted(paths.FIGURES.glob("*.png"))},
        "examples": report.examples(items["gate"], images["gate"], *on_gate),
        "baselines": report.baselines_of(paths.METRICS, paths.BASELINES),
        "confusions": confusion.most_frequent(counts),
        "confusion_figures": matrices,
        "reliability": bins,
        "remaining": remaining.remaining(
            prototypes,
            items["gate"],
            images["gate"],
            *on_gate,
            params.quality_gate.confidence,
        ),
        "hashes": stages["annotate_import"]["files"] | lineage.hashes(read),
        # Of the params that this stage reads: what it shows must not depend on others.
        "changed": lineage.changed_params({name: before.get(name) for name in now}, now),
        "params": now,
    }
    tables.replace(paths.REPORTS / f"{params.tag}.html", report.render(context).encode())
