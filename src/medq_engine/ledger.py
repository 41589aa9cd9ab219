"""What labels cost: seconds and money by route, annotator and purpose, per round and in all.

People are paid by the hour; the model and the draft annotator by the answer, and both answer every
task before it is routed, also one that is deferred. What people spend on checking (audits, gold
tasks, second readings, adjudications) is part of what their labels cost.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from medq_engine.annotations import Reading
from medq_engine.config import Costs
from medq_engine.readings import by_task

HOUR = 3600.0  # seconds
Ledger = dict[str, object]


def purposes(tasks: pl.DataFrame, readings: Sequence[Reading]) -> list[tuple[str, Reading]]:
    """Readings, each with what it was for; of a task's readings the first one is for the label."""
    audits = dict(tasks.select("task_id", "audit").iter_rows())
    gold = dict(tasks.select("task_id", "gold").iter_rows())
    found = []
    for task_id, rows in by_task(readings).items():
        first = "gold" if gold[task_id] else "audit" if audits[task_id] else "label"
        ruled = [row for row in rows if row["adjudicates"]]
        read = [row for row in rows if not row["adjudicates"]]
        named = [first] + ["second reading"] * (len(read) - 1)
        found += [*zip(named, read, strict=False), *(("adjudication", row) for row in ruled)]
    return found


def ledger_of(
    tasks: pl.DataFrame, readings: Sequence[Reading], labels: Mapping[str, int], costs: Costs
) -> Ledger:
    """A round's ledger.

    Args:
        tasks: All tasks of the round (schema TASK).
        readings: Of people.
        labels: Labels accepted by route.
        costs: Money for an hour and for an answer.

    Returns:
        `labels`, `seconds`, `money`, and their parts `by_route`, `by_annotator`, `by_purpose`;
        see `with_rates` for what a label costs.
    """
    by_annotator: dict[str, dict[str, float]] = {}
    by_purpose: dict[str, dict[str, float]] = {}
    for purpose, row in purposes(tasks, readings):
        money = row["seconds"] / HOUR * costs.person_hour
        for part in (
            by_annotator.setdefault(str(row["annotator"]), _nothing("readings")),
            by_purpose.setdefault(purpose, _nothing("readings")),
        ):
            part["readings"] += 1
            part["seconds"] += float(row["seconds"])
            part["money"] += money
    by_route = {}
    for route, count in sorted(Counter(tasks["route"]).items()):
        part = by_route[route] = _nothing("labels")
        part["labels"] = labels.get(route, 0)
        part["money"] = count * (costs.draft + costs.model)
        if route == "expert":
            part["seconds"] = sum(row["seconds"] for row in by_annotator.values())
            part["money"] += sum(row["money"] for row in by_annotator.values())
    total = {
        name: sum(part[name] for part in by_route.values())
        for name in ("labels", "seconds", "money")
    }
    parts = {"by_route": by_route, "by_annotator": by_annotator, "by_purpose": by_purpose}
    return with_rates({**total, **parts})


def _nothing(counted: str) -> dict[str, float]:
    return {counted: 0, "seconds": 0.0, "money": 0.0}


def with_rates(ledger: Ledger) -> Ledger:
    """A ledger with `seconds_per_label` and `money_per_label` by route, None without labels."""
    rated = {}
    for route, part in ledger["by_route"].items():
        rates = {
            f"{name}_per_label": part[name] / part["labels"] if part["labels"] else None
            for name in ("seconds", "money")
        }
        rated[route] = part | rates
    return ledger | {"by_route": rated}


def add(before: Ledger | None, now: Ledger) -> Ledger:
    """Two ledgers as one; None is the ledger of no round."""
    return now if before is None else with_rates(_sum(before, now))


def _sum(a: Mapping[str, object], b: Mapping[str, object]) -> dict[str, object]:
    """Numbers of nested mappings added; what one of them lacks, or has as None, counts nothing."""
    found: dict[str, object] = {}
    for name in sorted({*a, *b}):
        one, other = a.get(name), b.get(name)
        if isinstance(one, Mapping) or isinstance(other, Mapping):
            found[name] = _sum(one or {}, other or {})
        else:
            found[name] = (one or 0) + (other or 0)
    return found


def by_random_choice(
    tasks: pl.DataFrame,
    spent: int,
    bought: int,
    disputed: Mapping[str, float | None],
    undisputed: Mapping[str, float | None],
) -> dict[str, object]:
    """What as many readings of random pool images would have corrected, beside what these did.

    A random image shows a wrong answer of the model with probability
    p = d * P(wrong | disputed) + (1 - d) * P(wrong | not disputed): d is the share of the control
    arm, drawn at random, on which model and draft disagree; the first probability comes from the
    control images that experts read, the second from the audit. The bounds of both intervals are
    taken together, so the interval is on the wide side. None where a part was never measured.

    Args:
        tasks: All tasks of the round (schema TASK).
        spent: The experts' readings that gave a label.
        bought: How many of them corrected the model.
        disputed, undisputed: Rate and interval (`rate`, `low`, `high`) of the two probabilities.
    """
    control = tasks.filter(pl.col("arm") == "control")
    in_dispute = (control["unreviewed"].is_in(["expert", "deferred"])).mean()
    measured = len(control) and None not in (disputed["rate"], undisputed["rate"])
    chance = {
        name: in_dispute * disputed[part] + (1 - in_dispute) * undisputed[part]
        if measured
        else None
        for name, part in (("", "rate"), ("_low", "low"), ("_high", "high"))
    }
    corrected = {f"corrected{name}": None if p is None else spent * p for name, p in chance.items()}
    return {"labels": spent, "bought": bought, **corrected}
