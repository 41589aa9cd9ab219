"""Results of cells that were never run, with known accuracies."""

import numpy as np

from medq_engine.experiment.grid import Grid, Part, Roles
from medq_engine.experiment.results import Result, pack
from medq_engine.experiment.stops import Terms

ITEMS = 400
BASE = 0.5
BASE_NAME = "base--0123abcd"
TERMS = Terms(least_gain=0.2, confidence=0.95)


def test_of(accuracy: float) -> Result:
    """The same items are right first, whoever answers."""
    right = np.arange(ITEMS) < round(accuracy * ITEMS)
    kinds = {"fine": accuracy, "taught fault": accuracy, "untaught fault": accuracy}
    by = {"kind": kinds, "modality": {"ct": accuracy}}
    return {"items": ITEMS, "accuracy": right.mean(), "correct": pack(right), "by": by}


def gained(value: float) -> Result:
    """A difference on the gate with its interval."""
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


def base() -> Result:
    """The base's answers; every item is a scene."""
    return {
        "cell": {},
        "base": BASE_NAME,
        "key": "k",
        "commit": "aaaaaaa",
        "date": "2026-03-01",
        "test": test_of(BASE),
        "scenes": " ".join(map(str, range(ITEMS))),
        "kinds": "012" * (ITEMS // 3) + "2" * (ITEMS % 3),
        "baselines": {
            "simulated GPT-4o": {"accuracy": 0.62},
            "simulated expert": {"accuracy": 0.9},
        },
        "seconds": {"test": 30.0},
    }


def cell(
    world: str,
    strategy: str,
    seed: int,
    number: int,
    labels: int,
    accuracy: float,
    verdict: str = "pass",
    **changes: object,
) -> tuple[str, Result]:
    """A cell by its name: so many labels of experts, half a minute each, twice as many unreviewed.

    Two of 100 that were looked at are wrong, and the interval of the noise holds that.
    """
    return f"{world}--{strategy}--s{seed}--r{number}", {
        "cell": {"world": world, "strategy": strategy, "seed": seed, "round": number},
        "base": BASE_NAME,
        "key": "k",
        "commit": "aaaaaaa" if number == 1 else "bbbbbbb",
        "date": f"2026-03-0{number}",
        "accepted": {"expert": labels, "model": 2 * labels},
        "trained": labels,
        "minutes": labels / 2,
        "money": 2.0 * labels,
        "noise": {"rate": 0.03, "low": 0.01, "high": 0.1},
        "truth": {
            "unreviewed": {"labels": 100, "wrong": 2},
            "experts": {"labels": labels, "untaught": labels // 4},
        },
        "gate": {"verdict": verdict} | gained(accuracy - BASE),
        "test": test_of(accuracy),
        "seconds": {"finetune": 100.0},
    } | changes


GRID = Grid(
    worlds={"rare": {"pool.rare_share": 0.04}, "common": {"pool.rare_share": 0.16}, "odd": {}},
    strategies={
        "engine": {},
        "random": {"retrieve.strategy": "random"},
        "random-9": {"retrieve.strategy": "random", "retrieve.budget": 900},
        "entropy": {"retrieve.strategy": "entropy"},
        "no-audit": {"route.audit_share": 0.0},
    },
    parts={"main": Part(("rare", "common"), ("engine", "random"), (1, 2, 3), 2)},
    report=Roles(
        "engine",
        ("random", "random-9"),
        {"entropy": ("entropy",)},
        ("no-audit",),
        "rare",
        "common",
        1,
        None,
    ),
)


def made() -> dict[str, Result]:
    """Engine has after 100 labels what random has after 400; entropy after 240; in a common world
    random does as well as the engine."""
    there = {BASE_NAME: base()}
    for seed in (1, 2, 3):
        for number in (1, 2):
            there |= dict([cell("rare", "engine", seed, number, 100 * number, 0.6 + 0.1 * number)])
            there |= dict(
                [cell("rare", "random", seed, number, 100 * number, 0.55 + 0.05 * number)]
            )
            there |= dict([cell("common", "engine", seed, number, 100 * number, 0.7)])
            there |= dict([cell("common", "random", seed, number, 100 * number, 0.7)])
        there |= dict([cell("rare", "random-9", seed, 1, 400, 0.7)])
        there |= dict([cell("rare", "entropy", seed, 1, 240, 0.7, verdict="fail")])
    there |= dict(
        [cell("rare", "no-audit", 1, 1, 100, 0.65), cell("rare", "no-audit", 2, 1, 100, 0.65)]
    )
    return there
