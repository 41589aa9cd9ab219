"""What a reviewer wants to know of a batch, as Markdown for its pull request.

Annotators read it too. So it never says which tasks have a known answer, gives nobody's gold result
before all have answered (one could watch it change), and says nothing of a task that still waits
for its second reader.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from medq_engine.agreement import SCALES, agreement_of, below_floor, gold_accuracy
from medq_engine.annotations import SIMULATED, Reading, verdict_said
from medq_engine.batches import Batch
from medq_engine.figures import label_of, ordered
from medq_engine.markdown import escape, one_line, table
from medq_engine.readings import Task, Waiting, by_task, settled, waiting
from medq_engine.scrutiny import Suspect, paces, suspects
from medq_engine.statistics import wilson
from medq_engine.vocabulary import QUESTION_TYPES

NAME = 32  # characters of an annotator's name beside other text
ROWS = 30
CONFIDENCE = 0.95
COEFFICIENTS = {
    "exact": "agree exactly",
    "alpha": "Krippendorff's alpha",
    "kappa": "Cohen's kappa",
    "ac1": "Gwet's AC1",
}


def summary(
    batch: Batch,
    readings: Sequence[Reading],
    tasks: pl.DataFrame | None,
    rng: np.random.Generator,
    floor: float,
) -> str:
    """A batch and its readings as GitHub-flavoured Markdown.

    Args:
        batch: The batch.
        readings: All of them (`annotations.read_readings`).
        tasks: All tasks of the round (schema TASK), for the routes and how gold tasks were
            answered; without it nothing is said about these.
        rng: Of the intervals.
        floor: Share of gold tasks that an annotator must get right.
    """
    left = waiting(batch.tasks, readings)
    parts = [
        f"# {escape(batch.tag)}: {len(batch.tasks)} tasks for people",
        _progress(batch, readings, left),
        *_simulated(readings),
        "## Look at these first",
        _first(suspects(batch.tasks, readings)),
        "## Answered tasks",
        _slices(batch.tasks, {*left.unanswered}),
        _kinds(batch.tasks, {*left.unanswered}),
        *_routes(tasks),
        "## Annotators",
        _annotators(readings),
        "## Against model and draft",
        _against(batch.tasks, readings),
        "## Between annotators",
        _between(batch.tasks, readings, left, rng),
    ]
    if tasks is not None:
        done = not (left.unanswered or left.second)
        parts += ["## Tasks with a known answer", _gold(tasks, readings, floor, done)]
    return "\n\n".join(parts) + "\n"


def annotators_of(readings: Sequence[Reading]) -> list[str]:
    """Names of those who answered, in the order of the alphabet."""
    return sorted({str(row["annotator"]) for row in readings})


def simulated(readings: Sequence[Reading]) -> list[str]:
    """Names of the simulated ones among those who answered."""
    return [name for name in annotators_of(readings) if SIMULATED in name]


def said(row: Reading) -> str:
    """What a reading says, in short: its answer with its verdict, or that it cannot judge."""
    if row["unjudged"]:
        return "cannot judge"
    verdict = verdict_said(row)
    return f"{row['answer']} ({verdict})" if verdict else str(row["answer"])


def reasons(suspect: Suspect) -> str:
    """Why a task is suspect; the annotator is named where there are several."""
    several = len(suspect.readings) > 1
    return "; ".join(
        (f"{one_line(who, NAME)}: " if who and several else "") + one_line(why, 60)
        for who, why in suspect.reasons
    )


def _progress(batch: Batch, readings: Sequence[Reading], left: Waiting) -> str:
    given = by_task(readings)
    open_ids = set(left.tasks)
    unjudged = sum(
        task_id not in open_ids and settled(rows) is None for task_id, rows in given.items()
    )
    answered = len(batch.tasks) - len(left.unanswered)
    minutes = sum(float(row["seconds"]) for row in readings) / 60
    return (
        f"**{answered} of {len(batch.tasks)} tasks answered**; without a second reader: "
        f"{len(left.second)}, disputed: {len(left.disputed)}, cannot be judged: {unjudged}; "
        f"readings: {len(readings)}, minutes: {minutes:.0f}; batch `{batch.fingerprint}`."
    )


def _simulated(readings: Sequence[Reading]) -> list[str]:
    names = simulated(readings)
    if not names:
        return []
    which = "All" if len(names) == len(annotators_of(readings)) else "Some"
    return [
        f"> **{which} of these readings are simulated**, with their times: those of "
        f"{_listed(names)}. They say nothing about people."
    ]


def _first(found: Sequence[Suspect]) -> str:
    rows = [
        (
            suspect.task["task_id"],
            suspect.task["question"],
            "; ".join(
                f"{one_line(row['annotator'], NAME)}: {said(row)}" for row in suspect.readings
            ),
            reasons(suspect),
        )
        for suspect in found
    ]
    return _capped(("task", "question", "readings", "why"), rows, "Nothing stands out.", limit=160)


def _slices(tasks: Sequence[Task], unanswered: set[str]) -> str:
    def cell(modality: str | None, kind: str | None) -> str:
        return _done(
            (
                task
                for task in tasks
                if modality in (None, task["modality"]) and kind in (None, task["question_type"])
            ),
            unanswered,
        )

    columns = (*QUESTION_TYPES, None)
    modalities = ordered({str(task["modality"]) for task in tasks})
    rows = [
        (label_of(name) if name else "all", *(cell(name, kind) for kind in columns))
        for name in (*modalities, None)
    ]
    return table(("modality", *QUESTION_TYPES, "all"), rows)


def _kinds(tasks: Sequence[Task], unanswered: set[str]) -> str:
    """How tasks are shown, as far as those may know who answer them."""
    kinds = {
        "model and draft shown": [task for task in tasks if not task["blind"]],
        "judged unaided (audit, or answer known)": [task for task in tasks if task["blind"]],
        "wanted twice": [task for task in tasks if task["readers"] > 1],
    }
    return table(
        ("purpose", "answered"), [(name, _done(of, unanswered)) for name, of in kinds.items()]
    )


def _routes(tasks: pl.DataFrame | None) -> list[str]:
    if tasks is None:
        return []
    counts = sorted(tasks["route"].value_counts().iter_rows())
    shown = ", ".join(f"{route} {count}" for route, count in counts)
    return [f"All {len(tasks)} tasks of the round by route: {shown}."]


def _annotators(readings: Sequence[Reading]) -> str:
    rows = []
    for name, pace in paces(readings).items():
        own = [row for row in readings if row["annotator"] == name]
        minutes = sum(float(row["seconds"]) for row in own) / 60
        counts = (
            sum(bool(row[field]) for row in own)
            for field in ("adjudicates", "unjudged", "unblinded")
        )
        pace_shown = f"{pace:.0f}" if pace else "not taken"
        rows.append((name, len(own), f"{minutes:.1f}", pace_shown, *counts))
    head = ("annotator", "readings", "minutes", "median s", "adjudications", "cannot judge")
    return _capped((*head, "opened hints first"), rows, "Nobody has answered yet.")


def _against(tasks: Sequence[Task], readings: Sequence[Reading]) -> str:
    given = by_task(readings)
    counting = [(task, settled(given.get(str(task["task_id"]), []))) for task in tasks]
    judged = [(task, row["answer"]) for task, row in counting if row is not None]
    rows = []
    for name in (*ordered({str(task["modality"]) for task, _ in judged}), None):
        here = [(task, answer) for task, answer in judged if name in (None, task["modality"])]
        drafted = [(task, answer) for task, answer in here if task["draft"]]
        from_model = sum(task["model_answer"] != answer for task, answer in here)
        from_draft = sum(task["draft"] != answer for task, answer in drafted)
        label = label_of(name) if name else "all"
        shares = _share(from_model, len(here)), _share(from_draft, len(drafted))
        rows.append((label, *shares))
    return (
        "How many of the answers that count differ (95 % intervals). Most tasks were chosen "
        "because model and draft disagree: this is no error rate of either.\n\n"
        + table(("modality", "differ from the model", "differ from the draft"), rows)
    )


def _between(
    tasks: Sequence[Task], readings: Sequence[Reading], left: Waiting, rng: np.random.Generator
) -> str:
    found = agreement_of(tasks, readings, rng)
    rows = [
        (
            scale,
            found[scale]["tasks"],
            *(
                _interval(found[scale], name, ".0%" if name == "exact" else ".2f")
                for name in COEFFICIENTS
            ),
        )
        for scale in SCALES
        if scale in found
    ]
    shown = (
        table(("scale", "tasks", *COEFFICIENTS.values()), rows)
        + "\n\nIn brackets 95 % intervals. Alpha and kappa heed the order of verdict (ordinal, "
        "quadratic) and severity. A dash: too few or too uniform readings to say."
        if rows
        else "No task has two readings that can be compared."
    )
    if left.disputed:
        shown += f"\n\nDisputed, to be adjudicated by `medq review`: {_listed(left.disputed)}."
    return shown


def _gold(tasks: pl.DataFrame, readings: Sequence[Reading], floor: float, done: bool) -> str:
    if not done:
        return "Told when every task is answered, and by two readers where two are wanted."
    found = gold_accuracy(tasks.iter_rows(named=True), readings)
    below = below_floor(found, floor)
    rows = [
        (name, _share(row["right"], row["tasks"]), "yes" if name in below else "no")
        for name, row in found.items()
    ]
    head = ("annotator", "right", f"surely below {floor:.0%}")
    shown = _capped(head, rows, "This batch has none.")
    if below:
        shown += f"\n\n**The batch is held back**: {_listed(below)} below the floor of {floor:.0%}."
    return shown


def _done(tasks: Iterable[Task], unanswered: set[str]) -> str:
    open_tasks = [task["task_id"] in unanswered for task in tasks]
    return f"{open_tasks.count(False)} of {len(open_tasks)}" if open_tasks else "-"


def _share(hits: int, trials: int) -> str:
    if not trials:
        return "-"
    low, high = wilson(hits, trials, CONFIDENCE)
    return f"{hits} of {trials}: {hits / trials:.0%} ({low:.0%} to {high:.0%})"


def _interval(found: Mapping[str, float | None], name: str, form: str) -> str:
    """A value of `agreement_of` with its interval, as far as there are any."""
    value, low, high = found[name], found[f"{name}_low"], found[f"{name}_high"]
    if value is None:
        return "-"
    return f"{value:{form}}" + ("" if low is None else f" ({low:{form}} to {high:{form}})")


def _capped(
    head: Sequence[str], rows: Sequence[Sequence[object]], nothing: str, limit: int = 80
) -> str:
    """A table of at most ROWS rows that says how many more there are."""
    if not rows:
        return nothing
    more = f"\n\nand {len(rows) - ROWS} more" if len(rows) > ROWS else ""
    return table(head, rows[:ROWS], limit) + more


def _listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence, at most ROWS of them."""
    more = f" and {len(names) - ROWS} more" if len(names) > ROWS else ""
    return ", ".join(escape(name) for name in names[:ROWS]) + more
