"""Closed rounds that were never run: full metrics with plausible numbers."""

from pathlib import Path

from medq_engine.closed import Closed
from medq_engine.rounds import bytes_md5

BASE = 0.5
BASELINES = {
    "simulated GPT-4o": {"accuracy": 0.617, "items": 400},
    "simulated expert": {"accuracy": 0.965, "items": 400},
}
PUBLISHED = {
    "benchmark": "another benchmark",
    "source": "a paper",
    "rows": [{"model": "GPT-4o", "yes_no": 78.0, "overall": 64.79}],
}
SPLITS = {name: f"{place}" * 32 + ".dir" for place, name in enumerate(("dev", "gate", "test"))}
PEOPLE = ("expert (simulated)", "dr-a")
FIRST_DAY, DAY = 1_772_323_200, 86_400  # 2026-03-01 in UTC, and its length, in seconds
VALUES = {
    "modality": ("ct", "mri"),
    "question_type": ("how", "what", "yes-no"),
    "origin": ("clinical", "phantom"),
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


def scores(accuracy: float, ece: float) -> dict[str, object]:
    """One model on one split of metrics/gate.json."""
    return {
        "accuracy": accuracy,
        "accuracy_by": {
            "question_type": {"yes-no": accuracy + 0.1, "what": accuracy - 0.1, "how": accuracy},
            "modality": {"ct": accuracy, "mri": accuracy + 0.05},
            "origin": {"phantom": accuracy},
        },
        "calibration": {"ece": ece, "brier": 0.3, "auroc": 0.6},
        "description": {"overall": 4.0},
        "items": 400,
    }


def split(before: float, gain: float) -> dict[str, object]:
    """One split of metrics/gate.json."""
    return {
        "overall": difference(before, gain),
        **{
            column: {value: difference(before, gain, 50) for value in values}
            for column, values in VALUES.items()
        },
        "incumbent": scores(before, 0.3),
        "challenger": scores(before + gain, 0.2),
    }


def gate(verdict: str, before: float, gain: float) -> dict[str, object]:
    """metrics/gate.json."""
    since = difference(BASE, before + (gain if verdict == "pass" else 0) - BASE)
    return {
        "verdict": verdict,
        "reason": "because",
        "items_more": 0,
        "gate": split(before, gain),
        "test": split(before, gain),
        "test_since_base": {**since, "origin": {"clinical": since, "phantom": since}},
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


def params(number: int, incumbent: dict[str, object] | None) -> dict[str, object]:
    """Of params.yaml, the blocks that are read of a closed round."""
    return {
        "round": number,
        "tag": f"round-{number:03d}",
        "incumbent": incumbent,
        "model": {"id": "models/base"},
        "drafts": {"endpoint": None},
        "quality_gate": {"confidence": 0.95, "margin": 0.05},
        "stopping": {"least_gain": 0.2},
        "finetune": {
            "steps": 400 * number,
            "replay": 0.5,
            "route_weight": {"expert": 1.0, "draft": 0.5, "model": 0.0},
        },
    }


def closed(
    number: int,
    verdict: str,
    before: float,
    gain: float,
    incumbent: dict[str, object] | None = None,
    people: tuple[str, ...] = PEOPLE,
) -> Closed:
    """A closed round: `before` is the incumbent's accuracy, `gain` the challenger's over it."""
    tag = f"round-{number:03d}"
    benchmark = {name: {"images": {"phantom": 7}, "items": {"perception": 21}} for name in SPLITS}
    return Closed(
        root=Path(),
        tag=tag,
        number=number,
        commit=f"{number:010x}" + 30 * "0",
        time=1000 * (FIRST_DAY + DAY * (number - 1)),
        params=params(number, incumbent),
        metrics={
            "annotate_import": labels(number, people),
            "baselines": dict(BASELINES),
            "benchmark": {"splits": benchmark},
            "finetune": {"steps": 10, "trainable_parameters": 1000},
            "gate": gate(verdict, before, gain),
        },
        data={
            **{f"data/benchmark/{s}": {"md5": SPLITS[s], "size": 9, "nfiles": 2} for s in SPLITS},
            "data/pool": {"md5": "a" * 32 + ".dir"},
            "models/base": {"md5": "c" * 32 + ".dir"},
            "models/challenger": {"md5": bytes_md5(tag.encode()) + ".dir"},
            "data/round/training.parquet": {"md5": bytes_md5(f"turns {tag}".encode())},
        },
        lock="",
        embedded=True,
        published=[PUBLISHED],
        card="",
    )


def made(*verdicts: str, people: tuple[str, ...] = PEOPLE) -> list[Closed]:
    """Closed rounds with these verdicts, three points of gain where it passed, else one."""
    rounds, accuracy = [], BASE
    for number, verdict in enumerate(verdicts, start=1):
        gain = 0.03 if verdict == "pass" else 0.01
        rounds.append(closed(number, verdict, accuracy, gain, people=people))
        accuracy = rounds[-1].gate["test_since_base"]["challenger"]
    return rounds
