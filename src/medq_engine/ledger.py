"""What labels cost: seconds and money by route, annotator and purpose, per round and in all.

People are paid by the hour; the model and the draft annotator by the answer, and both answer every
task and its witnesses (`evidence`) before it is routed, also one that is deferred. What people
spend on checking (audits, gold tasks, second readings, adjudications) is part of what their labels
cost.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from medq_engine.annotations import Reading
from medq_engine.config import Costs
from medq_engine.evidence import WITNESSES
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
    answers = Counter()
    for route, kind in tasks.select("route", "question_type").iter_rows():
        answers[route] += 1 + len(WITNESSES[kind])
    for route, count in sorted(answers.items()):
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
    spent: int, bought: int, control: Mapping[str, float | None]
) -> dict[str, object]:
    """What as many readings of random pool images would have corrected, beside what these did.

    Control tasks reach experts at random, whatever is thought of them, so that the share of them
    that was corrected is that of a random image.

    Args:
        spent: The experts' readings that gave a label.
        bought: How many of them corrected the model.
        control: Share of the control tasks that was corrected, with interval (`rate`, `low`,
            `high`); None where nobody read one.
    """
    chance = {
        name: control[part] for name, part in (("", "rate"), ("_low", "low"), ("_high", "high"))
    }
    known = control["rate"] is not None
    corrected = {f"corrected{name}": spent * p if known else None for name, p in chance.items()}
    return {"labels": spent, "bought": bought, **corrected}
