"""How many unreviewed labels are wrong: audits and gold tasks update what the trust model expects.

An audit whose answer differs from the label is no proof that the label is wrong: readers err too
(Rogan and Gladen 1978). How often they do is told by gold tasks, whose answer is known. Both
unknowns are inferred together: the readers' accuracy, and the factor by which the odds of an error
are off (`risk`), in part the same for all question types and in part each one's own. What the
labels that were not audited are like follows from it; the interval is of their own share of wrong
ones, not of a rate in a larger population.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from medq_engine.risk import DRAWS, odds_times

COMMON_SD = 0.4
"""What batches may have in common against dev, whatever is asked: of the log factor."""
PARTICLES = 20_000


@dataclass(frozen=True)
class Audit:
    """An audited label: the probability that it was wrong, and whether the reader differs.

    Attributes:
        kind: Question type.
        error: As the trust model says, corrected by dev.
        choices: Options of the question; a reader who errs where the label is wrong says the same
            with probability 1 / (choices - 1).
        differs: Whether the reader gave another answer.
    """

    kind: str
    error: float
    choices: int
    differs: bool


@dataclass(frozen=True)
class Tally:
    """Audits of earlier rounds in sums, as the ledger keeps them.

    Attributes:
        audits: By question type: `audited`, `differ`, and `expected`, the sum of their errors.
        gold: `tasks` that were read, and how many of them `right`.
    """

    audits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    gold: Mapping[str, float] = field(default_factory=dict)


def tally_of(audits: Sequence[Audit], right: int, tasks: int) -> dict[str, dict[str, object]]:
    """A round's audits and gold tasks as the ledger adds them up (`Tally`)."""
    found: dict[str, dict[str, float]] = {}
    for audit in audits:
        sums = found.setdefault(audit.kind, {"audited": 0, "differ": 0, "expected": 0.0})
        sums["audited"] += 1
        sums["differ"] += audit.differs
        sums["expected"] += audit.error
    return {"audits": found, "gold": {"tasks": tasks, "right": right}}


def differing(errors: np.ndarray, accuracy: np.ndarray, choices: np.ndarray | int) -> np.ndarray:
    """Probability that a reader differs from a label that is wrong with probability `errors`."""
    same_error = (1 - accuracy) / np.maximum(np.asarray(choices) - 1, 1)
    return errors * (1 - same_error) + (1 - errors) * (1 - accuracy)


def shifts_given(
    spread: Mapping[str, float],
    audits: Sequence[Audit],
    right: int,
    tasks: int,
    before: Tally,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Draws of the log factor of each question type, shape (DRAWS,), after all that was checked.

    Drawn from what is believed before any audit, and drawn again by how well each draw explains the
    audits (sampling importance resampling; Rubin 1988).

    Args:
        spread: Standard deviation of each type's own part of the log factor, around 0.
        audits: Of this round; none when it is routed.
        right, tasks: Gold tasks of this round that were read rightly, and all of them.
        before: What earlier rounds have found. Of an audit only the mean error of its type is kept.
        rng: Draws.
    """
    sure = right + before.gold.get("right", 0)
    unsure = tasks + before.gold.get("tasks", 0) - sure
    accuracy = np.clip(rng.beta(1 + sure, 1 + unsure, PARTICLES), 0.5, 1 - 1e-6)
    common = rng.normal(0, COMMON_SD, PARTICLES)
    shifts = {kind: common + rng.normal(0, sd, PARTICLES) for kind, sd in spread.items()}
    logs = np.zeros(PARTICLES)
    for audit in audits:
        error = odds_times(audit.error, shifts[audit.kind])
        chance = differing(error, accuracy, audit.choices)
        logs += np.log(chance) if audit.differs else np.log1p(-chance)
    for kind in sorted(before.audits.keys() & spread.keys()):
        sums = before.audits[kind]
        # As with endlessly many options: how many there were is not kept.
        error = odds_times(sums["expected"] / sums["audited"], shifts[kind])
        chance = error * accuracy + (1 - error) * (1 - accuracy)
        agreed = sums["audited"] - sums["differ"]
        logs += sums["differ"] * np.log(chance) + agreed * np.log1p(-chance)
    weights = np.exp(logs - logs.max())
    drawn = rng.choice(PARTICLES, DRAWS, p=weights / weights.sum())
    return {kind: values[drawn] for kind, values in shifts.items()}


def interval(wrong: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """Estimate and two-sided interval of the share of wrong labels.

    Args:
        wrong: Draws (`risk.wrong_draws`), shape (draws, labels), at least one label.
        confidence: Of the interval.
    """
    shares = wrong.mean(1)
    outer = (1 - confidence) / 2
    low, high = np.quantile(shares, [outer, 1 - outer], method="inverted_cdf")
    return float(shares.mean()), float(low), float(high)
