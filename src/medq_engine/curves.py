"""Rounds and baselines as curves over the rounds: the same metric names, step = round.

Step 0 is the base. A baseline has a point at every step, so that it draws as a level line, and
stands on one benchmark: what was measured on other items is never subtracted or laid beside.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from medq_engine.closed import Closed
from medq_engine.history import comparable

Point = dict[str, float]
# Published rows that the gap is told to, by the names of the metrics.
REFERENCES = {"GPT-4o": "GPT-4o", "human expert": "human"}
PUBLISHED_NAMES = {
    "overall": "accuracy",
    "yes_no": "accuracy_by/question_type/yes-no",
    "what": "accuracy_by/question_type/what",
    "how": "accuracy_by/question_type/how",
}


@dataclass(frozen=True)
class Curve:
    """Metrics of one model or person over the rounds.

    Attributes:
        name: As a legend shows it.
        role: `round`, `base`, `simulated` or `baseline`.
        benchmark: What it was measured on.
        points: Metrics by step.
        about: One sentence: what it is, and what of it is simulated.
    """

    name: str
    role: str
    benchmark: str
    about: str
    points: dict[int, Point] = field(default_factory=dict)


def flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers of nested metrics with slash-joined names; what is no number is passed over.

    Names may hold what a person is called: signs that a metric's name must not have are left out.
    """
    for name, value in values.items():
        part = re.sub(r"[^\w.\- :]", "", str(name)).strip(" .") or "_"
        here = f"{prefix}/{part}" if prefix else part
        if isinstance(value, Mapping):
            yield from flat(value, here)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield here[:250], float(value)


def gaps(accuracy: float, closed: Closed) -> Point:
    """Accuracy less that of the references on the same items, as `gap/NAME`."""
    references = {name: values["accuracy"] for name, values in closed.baselines.items()}
    for table in closed.published:
        if closed.same_items(table):
            references |= {
                REFERENCES[row["model"]]: row["overall"] / 100
                for row in table["rows"]
                if row["model"] in REFERENCES
            }
    return {f"gap/{name}": accuracy - reference for name, reference in flat(references)}


def axes(closed: Closed | None) -> Point:
    """Labels and expert minutes so far, to draw curves against; 0 before the first round.

    Baselines have them too: a level line needs a place on the axis.
    """
    if closed is None:
        return {"x/labels": 0.0, "x/expert_minutes": 0.0}
    labels = closed.labels
    return {"x/labels": labels["total"], "x/expert_minutes": labels["expert_minutes_total"]}


def base_point(closed: Closed) -> Point:
    """The base on test, as the round measured it: fully in a round that starts from it."""
    gate = closed.gate
    if closed.params["incumbent"] is None:
        return dict(flat(gate["test"]["incumbent"]))
    since = gate["test_since_base"]
    by_origin = {name: d["incumbent"] for name, d in since["origin"].items()}
    return {"accuracy": since["incumbent"], **dict(flat(by_origin, "accuracy_by/origin"))}


def round_point(closed: Closed) -> Point:
    """What a round trained (its challenger on test) and how it came about."""
    gate = closed.gate
    return {
        **dict(flat(gate["test"]["challenger"])),
        "in_force/accuracy": gate["test_since_base"]["challenger"],
        **dict(flat(gate["gate"]["overall"], "gate")),
        **dict(flat(gate["test"]["overall"], "gain")),
        **dict(flat(closed.labels, "labels")),
        **dict(flat(closed.metrics["finetune"], "finetune")),
        **gaps(gate["test"]["challenger"]["accuracy"], closed),
        **axes(closed),
    }


def loop(rounds: Sequence[Closed]) -> Curve:
    """The last of `rounds` with the way to it: base, and every comparable round before."""
    rounds = comparable(rounds)
    first, last = rounds[0], rounds[-1]
    start = base_point(first)
    start |= {"in_force/accuracy": start["accuracy"], **gaps(start["accuracy"], first)}
    points = {0: start | axes(None)} | {closed.number: round_point(closed) for closed in rounds}
    gate = last.gate
    who = "simulated experts" if last.simulated else "people"
    return Curve(
        name=f"{last.tag} (simulated expert)" if last.simulated else last.tag,
        role="round",
        benchmark=last.benchmark,
        about=(
            f"Verdict {gate['verdict']}: {gate['reason']}. Labels by {who}. The gate split decides "
            "(gate/...); the other metrics are of the test split, which is only reported."
        ),
        points=points,
    )


def baselines(rounds: Sequence[Closed], tables: Sequence[Mapping[str, object]]) -> list[Curve]:
    """Base, simulated annotators and the rows of published tables beside the last of `rounds`.

    Published rows of another benchmark keep its name and have one point, at step 0: nothing of
    this loop can be laid beside them.
    """
    rounds = comparable(rounds)
    first, last = rounds[0], rounds[-1]
    base = Curve("base model", "base", last.benchmark, "The model before any round.")
    simulated = {
        name: Curve(
            name, "simulated", last.benchmark, "Simulated: its accuracy is declared, not measured."
        )
        for name in last.baselines
    }
    known: Point = {}
    for step, closed in [(0, first), *((closed.number, closed) for closed in rounds)]:
        place = axes(closed if step else None)
        # A later round measures the base's accuracy anew, and not all else that the first one did.
        known |= base_point(closed)
        base.points[step] = known | gaps(known["accuracy"], closed) | place
        for name, values in closed.baselines.items():
            if name in simulated:
                simulated[name].points[step] = dict(flat(values)) | place
    rows = [(table, row) for table in tables for row in table["rows"]]
    rows.sort(key=lambda pair: pair[1]["model"] not in REFERENCES)
    return [base, *simulated.values(), *(published(table, row, rounds) for table, row in rows)]


def published(
    table: Mapping[str, object], row: Mapping[str, object], rounds: Sequence[Closed]
) -> Curve:
    """A published row: on its own benchmark, or beside the rounds where the items are the same."""
    point = {PUBLISHED_NAMES[k]: row[k] / 100 for k in PUBLISHED_NAMES if k in row}
    about = f"Published: {table['source']}."
    if not rounds[-1].same_items(table):
        name = f"{row['model']}, {table['benchmark']}"
        about += " Another benchmark: not to be compared with the rounds."
        return Curve(name, "baseline", table["benchmark"], about, {0: point})
    places = {0: axes(None)} | {closed.number: axes(closed) for closed in rounds}
    points = {step: point | place for step, place in places.items()}
    return Curve(row["model"], "baseline", rounds[-1].benchmark, about, points)
