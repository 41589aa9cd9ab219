"""Does the loop know when to stop? What it expected of another round, and what that round brought.

The loop's own forecast (`stopping`) is made from what it sees, the gate; test tells how right it
was, and nothing in the loop sees that.
"""

from dataclasses import dataclass

import numpy as np

from medq_engine import markdown
from medq_engine.experiment.findings import World
from medq_engine.experiment.resampling import over_seeds
from medq_engine.experiment.results import Result
from medq_engine.experiment.wording import points
from medq_engine.stopping import CONFIDENCE, Outlook, Step, outlook


@dataclass(frozen=True)
class Terms:
    """On what terms a chain goes on (params.yaml: stopping, quality_gate).

    Attributes:
        least_gain: Points per expert hour that are asked for.
        confidence: Of the gate's intervals.
    """

    least_gain: float
    confidence: float


@dataclass(frozen=True)
class Forecast:
    """What a chain expected after a round, and what its next round brought on test, in points.

    Attributes:
        expected: By the loop.
        rise: Accuracy of the next challenger less that of the last one: the worth of its labels,
            and the luck of two trainings.
        gain: Accuracy of the next challenger less that of the model in force.
        minutes: Expert minutes that the next round took.
    """

    expected: Outlook
    rise: float
    gain: float
    minutes: float

    @property
    def held(self) -> bool:
        """Whether the interval of the challenger's gain holds it."""
        return self.expected.challenger.low <= self.gain <= self.expected.challenger.high


def expected(found: list[Result], terms: Terms) -> Outlook:
    """What a chain expects of another round after those in `found`, in order."""
    minutes = np.diff([0.0] + [result["minutes"] for result in found])
    steps = [
        Step.measured(
            minutes=float(spent),
            difference=result["gate"],
            confidence=terms.confidence,
            passed=result["gate"]["verdict"] == "pass",
        )
        for result, spent in zip(found, minutes, strict=True)
    ]
    return outlook(steps, terms.least_gain)


def forecasts(world: World, strategy: str, number: int, terms: Terms) -> list[Forecast]:
    """Of every chain that went on after a round, in the order of the seeds."""
    made = []
    for seed in world.seeds(strategy, number + 1):
        rounds = [world.result(strategy, seed, n) for n in range(1, number + 2)]
        last, following = rounds[-2:]
        accuracy = following["test"]["accuracy"]
        in_force = float(world.in_force(strategy, seed, number).mean())
        made.append(
            Forecast(
                expected=expected(rounds[:-1], terms),
                rise=100 * (accuracy - last["test"]["accuracy"]),
                gain=100 * (accuracy - in_force),
                minutes=following["minutes"] - last["minutes"],
            )
        )
    return made


def section(world: World, strategy: str, terms: Terms) -> str:
    """Forecasts against outcomes by round, in Markdown; empty before a second round."""
    rows = []
    for number in world.rounds(strategy):
        told = forecasts(world, strategy, number, terms)
        if not told:
            continue
        hours = float(np.mean([one.minutes for one in told])) / 60
        rise = over_seeds([one.rise / 100 for one in told])
        go_on = sum(one.expected.go_on for one in told)
        rows.append(
            (
                number,
                len(told),
                f"{np.mean([one.expected.labels.value for one in told]):+.1f}",
                points(rise),
                f"{np.mean([one.expected.hourly for one in told]):.2f}",
                f"{100 * rise.value / hours:.2f}",
                f"{go_on} of {len(told)}",
                f"{np.mean([one.expected.challenger.value for one in told]):+.1f}",
                f"{np.mean([one.gain for one in told]):+.1f}",
                f"{sum(one.held for one in told)} of {len(told)}",
            )
        )
    if not rows:
        return ""
    table = markdown.table(
        (
            "after round",
            "seeds",
            "labels: expected",
            "labels: measured",
            "an hour: expected",
            "an hour: measured",
            "says go on",
            "challenger: expected",
            "challenger: measured",
            "intervals that hold it",
        ),
        rows,
    )
    return (
        f"## Does {strategy} know when to stop? (simulated)\n\nPoints of accuracy. Before each "
        f"round the loop says what it expects of it, from the gate alone (`stopping.py`); test "
        f"says what came. It goes on while labels bring {terms.least_gain:g} points an expert "
        f"hour. *Labels*: the rise of the curve, measured as one challenger less the one before "
        f"it. *Challenger*: over the model in force, with an interval at {CONFIDENCE:.0%} that "
        f"does not include the error of test itself.\n\n{table}"
    )
