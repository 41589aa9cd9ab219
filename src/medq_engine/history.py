"""What the rounds brought: which of them stand on one scale, what is in force, and a table."""

from collections.abc import Mapping, Sequence

from medq_engine.closed import TEST, Closed
from medq_engine.stopping import Outlook, Step, outlook

SAME = (TEST, "models/base")
"""Rounds whose test items or base differ cannot stand on one curve."""


def comparable(rounds: Sequence[Closed]) -> list[Closed]:
    """Of rounds in order, those with the last one's test items and base."""

    def stand(closed: Closed) -> list[str | None]:
        return [closed.hashes.get(path) for path in SAME]

    return [closed for closed in rounds if stand(closed) == stand(rounds[-1])]


def champion(rounds: Sequence[Closed]) -> Closed | None:
    """The round whose challenger is in force after the last one; None for the base."""
    return next((closed for closed in reversed(rounds) if closed.passed), None)


def what_next(rounds: Sequence[Closed]) -> Outlook | None:
    """Is another round worth its labels? None where no price is declared or nobody's time went in.

    The price is the last round's `stopping.least_gain`.
    """
    counted = [c for c in comparable(rounds) if c.labels["expert_seconds"]]
    price = rounds[-1].params.get("stopping") if rounds else None
    if not counted or not price:
        return None
    return outlook([step_of(closed) for closed in counted], price["least_gain"])


def step_of(closed: Closed) -> Step:
    """A closed round as the gate saw it."""
    return Step.measured(
        minutes=closed.labels["expert_seconds"] / 60,
        difference=closed.difference,
        confidence=closed.params["quality_gate"]["confidence"],
        passed=closed.passed,
    )


def simulated(rounds: Sequence[Closed]) -> list[str]:
    """Readers of the batches that are simulations, as their names say."""
    return sorted({name for closed in rounds for name in closed.simulated})


def points(difference: Mapping[str, float]) -> str:
    """A difference in percentage points with its interval: `+4.2 (+1.0 to +7.3)`."""
    value, low, high = (100 * difference[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def markdown(rounds: Sequence[Closed]) -> str:
    """The rounds as a Markdown table; differences in points with their interval."""
    lines = [
        "| round | commit, date | labels (expert) | expert minutes so far | gate: challenger less "
        "incumbent | verdict | test: base | test: model in force | in force less base, test "
        "| of these, real images |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for closed in rounds:
        gate, labels = closed.gate, closed.labels
        since = gate["test_since_base"]
        real = since["origin"].get("clinical")
        lines.append(
            f"| {closed.tag} | {closed.short}, {closed.date} "
            f"| {labels['round']} ({labels['by_route'].get('expert', 0)}) "
            f"| {labels['expert_minutes_total']:.0f} | {points(closed.difference)} "
            f"| {gate['verdict']} | {since['incumbent']:.1%} | {since['challenger']:.1%} "
            f"| {points(since)} | {points(real) if real else '-'} |"
        )
    return "\n".join(lines)
