"""A round in some twenty numbers: metrics/summary.json, the one file that DVC shows as metrics.

`dvc exp show`, `dvc metrics show` and `dvc metrics diff` make a column or a line of every number in
every metric file. The files of the stages have hundreds; they stand beside this one, for reports.
"""

from collections.abc import Mapping

from medq_engine.annotations import SIMULATED

SCALE = "verdict"
"""The scale whose agreement is shown: good, usable, reject is what a reader decides in the end."""


def summary(
    gate: Mapping[str, object],
    annotate_import: Mapping[str, object],
    route: Mapping[str, object],
    evaluate: Mapping[str, object],
    baselines: Mapping[str, object],
) -> dict[str, object]:
    """The contents of metrics/summary.json, from the stages' metric files.

    Returns:
        verdict: Of the gate.
        readers: `people`, `simulated` or `both`: whose minutes, money and corrections these are.
        dev: `accuracy` of the incumbent, whose failures the round starts from.
        gate, test: `accuracy` of the challenger and its `gain` over the incumbent with interval.
        test: Also `ece` of the challenger, and what the model in force after the verdict has over
            the base (`since_base` with interval).
        gap: Challenger less the simulated annotators on test; None where one is not measured.
        labels: Of this `round`, `expert`'s among them, and in `total`.
        expert, cost: Minutes and money over all rounds.
        noise: Error rate of the labels that nobody reviewed.
        agreement: Of model and `draft`; Krippendorff's alpha of two readers (`verdict`).
        gold: Share of gold tasks that readers got right.
        Shares lie in [0, 1]; what cannot be computed is None, which DVC leaves out.
    """
    since, test = gate["test_since_base"], gate["test"]
    quality = annotate_import["quality"]
    gold = quality["gold"].values()
    asked = sum(row["tasks"] for row in gold)
    kinds = {SIMULATED in name for name in annotate_import["annotators"]}
    found = {
        "verdict": gate["verdict"],
        "readers": "both" if len(kinds) == 2 else "simulated" if True in kinds else "people",
        "dev": {"accuracy": evaluate["accuracy"]},
        "gate": _gain(gate["gate"]["overall"]),
        "test": {
            **_gain(test["overall"]),
            "ece": test["challenger"]["calibration"]["ece"],
            "since_base": since["value"],
            "since_base_low": since["low"],
            "since_base_high": since["high"],
        },
        "gap": {
            name.lower().replace("-", "").replace(" ", "_"): (
                test["overall"]["challenger"] - baselines[name]["accuracy"]
                if name in baselines
                else None
            )
            for name in ("simulated GPT-4o", "simulated expert")
        },
        "labels": {
            "round": annotate_import["round"],
            "expert": annotate_import["by_route"].get("expert", 0),
            "total": annotate_import["total"],
        },
        "expert": {"minutes_total": annotate_import["expert_minutes_total"]},
        "cost": {"total": annotate_import["ledger"]["total"]["money"]},
        "noise": {"rate": annotate_import["noise"]["rate"]},
        "agreement": {
            "draft": route["agreement_with_draft"],
            f"{SCALE}_alpha": quality["agreement"].get(SCALE, {}).get("alpha"),
        },
        "gold": {"rate": sum(row["right"] for row in gold) / asked if asked else None},
    }
    return _rounded(found)


def _gain(difference: Mapping[str, float]) -> dict[str, float]:
    return {
        "accuracy": difference["challenger"],
        "gain": difference["value"],
        "gain_low": difference["low"],
        "gain_high": difference["high"],
    }


def _rounded(value: object) -> object:
    """Numbers with four digits behind the point: what lies behind is noise in a table."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value
