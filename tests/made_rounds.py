"""Closed rounds that were never run: full metric files with plausible numbers, for the pages."""

import json
from pathlib import Path

from medq_engine.history import Row
from medq_engine.rounds import git

VALUES = {
    "modality": ("ct", "mri"),
    "question_type": ("how", "what", "yes-no"),
    "origin": ("clinical", "phantom"),
}
HASHES = {
    "data/pool": "a" * 32,
    "data/benchmark/test": "b" * 32,
    "models/base": "c" * 32,
}


def difference(before: float, gain: float, items: int = 400) -> dict[str, object]:
    """A difference with an interval of two points to each side, as metrics/gate.json has it."""
    return {
        "items": items,
        "clusters": 100,
        "incumbent": before,
        "challenger": before + gain,
        "value": gain,
        "low": gain - 0.02,
        "high": gain + 0.02,
        "floor": gain - 0.017,
        "ceiling": gain + 0.017,
    }


def split(before: float, gain: float) -> dict[str, object]:
    """One split of metrics/gate.json."""
    model = {"accuracy": before, "calibration": {"ece": 0.3}}
    return {
        "overall": difference(before, gain),
        **{
            column: {value: difference(before, gain, 50) for value in values}
            for column, values in VALUES.items()
        },
        "incumbent": model,
        "challenger": {**model, "calibration": {"ece": 0.2}},
    }


def gate(verdict: str, before: float, gain: float, base: float = 0.5) -> dict[str, object]:
    """metrics/gate.json."""
    now = before + gain if verdict == "pass" else before
    since = difference(base, now - base)
    return {
        "verdict": verdict,
        "reason": "made up",
        "items_more": 0,
        "gate": split(before, gain),
        "test": split(before, gain),
        "test_since_base": {**since, "origin": {"clinical": since}},
    }


def spending(money: float, people: tuple[str, ...]) -> dict[str, object]:
    """One side of a ledger."""
    one = {"readings": 10, "seconds": 450.0, "money": money}
    return {
        "labels": 40,
        "seconds": 450.0,
        "money": money,
        "by_route": {
            "expert": {
                "labels": 10,
                "seconds": 450.0,
                "money": money,
                "seconds_per_label": 45.0,
                "money_per_label": money / 10,
            }
        },
        "by_annotator": dict.fromkeys(people, one),
        "by_purpose": {"label": one},
    }


def labels(number: int, people: tuple[str, ...]) -> dict[str, object]:
    """metrics/annotate_import.json."""
    alpha = {"alpha": 0.81, "alpha_low": 0.6, "alpha_high": 0.95}
    kappa = {"kappa": None, "kappa_low": None, "kappa_high": None}
    ac1 = {"ac1": 0.8, "ac1_low": 0.7, "ac1_high": 0.9}
    exact = {"tasks": 12, "exact": 0.75, "exact_low": 0.5, "exact_high": 0.9}
    return {
        "round": 40,
        "total": 40 * number,
        "by_route": {"draft": 10, "expert": 10, "model": 20},
        "annotators": dict.fromkeys(people, 10),
        "expert_seconds": 450.0,
        "expert_minutes_total": 7.5 * number,
        "noise": {"audited": 8, "wrong": 1, "rate": 0.125, "low": 0.02, "high": 0.47},
        "quality": {
            "agreement": {"verdict": {**exact, **alpha, **kappa, **ac1}},
            "gold": {
                name: {"tasks": 10, "right": 9, "rate": 0.9, "low": 0.6, "high": 0.98}
                for name in people
            },
            "double": {"tasks": 12, "disagreements": 3, "adjudicated": 3},
            "unjudged": 2,
            "unblinded": 1,
            "floor": 0.7,
        },
        "ledger": {
            "currency": "USD",
            "round": spending(15.0, people),
            "total": spending(15.0 * number, people),
            "random": {"labels": 10, "corrected": 3.1, "corrected_low": 1.2, "corrected_high": 5.0}
            | {"bought": 6},
        },
    }


BASELINES = {
    "simulated GPT-4o": {"accuracy": 0.617, "items": 400},
    "simulated expert": {"accuracy": 0.965, "items": 400},
}


def made(*verdicts: str, people: tuple[str, ...] = ("expert (simulated)", "dr-a")) -> list[Row]:
    """Closed rounds with these verdicts, each 40 labels and two points of gain if it passed."""
    rows, accuracy = [], 0.5
    for number, verdict in enumerate(verdicts, start=1):
        found = gate(verdict, accuracy, 0.03 if verdict == "pass" else 0.01)
        accuracy = found["test_since_base"]["challenger"]
        rows.append(
            Row(
                f"round-{number:03d}",
                f"{number:07x}",
                f"2026-03-{number:02d}",
                found,
                labels(number, people),
                dict(BASELINES),
                [{"model": "GPT-4o", "overall": 64.79, "benchmark": "another benchmark"}],
                {
                    "round": number,
                    "tag": f"round-{number:03d}",
                    "finetune": {"steps": 400 * number},
                    "quality_gate": {"confidence": 0.95},
                },
                {**HASHES, "models/challenger": f"{number:032x}.dir"},
            )
        )
    return rows


def commit(root: Path, row: Row) -> None:
    """Write what a row is read from, commit it and tag it."""
    lock = {"path": "data/pool", "md5": row.hashes["data/pool"]}
    files = {
        "metrics/gate.json": row.gate,
        "metrics/annotate_import.json": row.labels,
        "metrics/baselines.json": row.baselines,
        "data/baselines/other.json": {
            "benchmark": "another benchmark",
            "rows": [{"model": "GPT-4o", "overall": 64.79}],
        },
        "dvc.lock": {"schema": "2.0", "stages": {"route": {"cmd": "x", "deps": [lock]}}},
    }
    for name, value in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(value), encoding="utf-8")
    (root / "params.yaml").write_text(json.dumps(row.params), encoding="utf-8")
    git(root, "add", "--all")
    git(root, "commit", "-q", "-m", row.tag)
    git(root, "tag", row.tag)
