"""Simulated rounds of routing: how often the noise estimate is right, and the target kept.

Reads the truth, so it reports and decides nothing. A trial runs the functions that the stages run
(`routing.route`, `labelling.checked`) on drawn candidates with drawn drafts, readings and audits.
The model's answers are what they are: they are asked for once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from medq_engine import agreement, checks, evidence, labelling, routing, stand_ins
from medq_engine.annotators import draft_answer, expert_reading
from medq_engine.config import Expert, RouteParams
from medq_engine.evidence import Asked, Said, Task
from medq_engine.language import Finding, answer
from medq_engine.noise import Tally
from medq_engine.questions import Scored
from medq_engine.simulation import seeded
from medq_engine.tables import TASK, table
from medq_engine.trust import trust_in
from medq_engine.vocabulary import DEFERRED, QuestionType
from medq_engine.worth import Fault


@dataclass(frozen=True)
class Assumption:
    """What is assumed of the simulated annotators.

    Attributes:
        name: For tables.
        expert: Accuracy of a reading.
        drafts: Accuracy of a draft by question type.
        follows: Where the model is wrong, probability that the draft says the same.
        one_reading: All drafts of an image follow from one reading of it, which is right with the
            accuracy of `what`; else the drafts of an image are independent.
    """

    name: str
    expert: float
    drafts: Mapping[QuestionType, float]
    follows: float = 0.0
    one_reading: bool = False


@dataclass(frozen=True)
class Bench:
    """What all trials share.

    Attributes:
        items: Of dev (schema ITEM).
        prototypes: Schema PROTOTYPE.
        modality_of: Of every image.
        truth: What every image shows.
        scored: The model's answers to all that trials ask.
        errors: `worth.fault_errors` of the model.
        untaught: Labels of the faults that the base was not taught.
        seconds: Of a reading.
    """

    items: pl.DataFrame
    prototypes: pl.DataFrame
    modality_of: Mapping[str, str]
    truth: Mapping[str, Sequence[Finding]]
    scored: Mapping[Asked, Scored]
    errors: Mapping[Fault, float]
    untaught: frozenset[str]
    seconds: float


def drafts_of(
    rows: Sequence[Task], bench: Bench, assumption: Assumption, seed: int
) -> dict[Asked, str]:
    """Drafts of every question, drawn under an assumption."""
    found = {}
    for row in rows:
        image_id, text, kind = row["image_id"], row["question"], row["question_type"]
        shown, attribute = bench.truth[image_id], row["attribute"]
        right = answer(kind, shown, attribute)
        own = row["options"][int(bench.scored[image_id, text].probabilities.argmax())]
        if assumption.one_reading:
            accuracy = assumption.drafts["what"]
            seen = expert_reading(image_id, row["modality"], shown, accuracy, seed, "draft reading")
            given = answer(kind, seen, attribute)
        elif own != right and seeded("follow", seed, image_id, text).random() < assumption.follows:
            given = own
        else:
            accuracy = assumption.drafts[kind]
            given = draft_answer(image_id, text, row["options"], right, accuracy, seed)
        found[image_id, text] = given
    return found


def trial(
    candidates: pl.DataFrame,
    bench: Bench,
    assumption: Assumption,
    settings: RouteParams,
    seed: int,
) -> dict[str, float | int | bool | None]:
    """One round from candidates (schema CANDIDATE) to the noise of what it would accept.

    Returns:
        `tasks`; of them `read` by experts (gold tasks and second readings included) and `deferred`;
        accepted labels of `experts` and `unreviewed`; labels `held` back at the import; the `true`
        noise of the unreviewed, its estimate `rate` with `low` and `high`, whether these cover it
        (`covered`) and whether it is above the target (`above`); of the images that experts read
        for a label, `hits` that show an untaught fault, and how many different ones (`faults`).
        Shares are None where no unreviewed label was accepted.
    """
    rng = seeded("trial", seed)
    tasks = routing.tasks_of(candidates, bench.prototypes, bench.modality_of, 1)
    count = checks.quota_of(len(tasks), settings).gold
    gold = checks.gold_tasks(bench.items, bench.prototypes, count, 1, rng)
    known = evidence.known_tasks(bench.items, {task["question_type"] for task in tasks})
    asked = evidence.to_ask([*tasks, *gold, *known])
    said = Said(bench.scored, drafts_of(asked, bench, assumption, seed))
    routed = routing.route(tasks, known, said, bench.errors, settings, Tally(), rng)
    found = table([*routed.rows, *routing.for_experts(gold, said)], TASK)
    batch = [checks.queue_row(row) for row in found.filter(route="expert").to_dicts()]
    expert = Expert(accuracy=assumption.expert, seconds=bench.seconds)
    given = [
        reading
        for task in batch
        for reading in stand_ins.readings_of(task, bench.truth[task["image_id"]], "", expert, seed)
    ]
    counting = labelling.counting_of(given)
    accuracy = agreement.gold_accuracy(found.to_dicts(), given)
    checked = labelling.checked(found, counting, accuracy, Tally(), settings, rng)
    kept = found.filter(pl.col("task_id").is_in(sorted(checked.kept))).to_dicts()
    wrong = [
        (row["model_answer"] if row["route"] == "model" else row["draft"])
        != answer(row["question_type"], bench.truth[row["image_id"]], row["attribute"])
        for row in kept
    ]
    true = float(np.mean(wrong)) if wrong else None
    noise = checked.noise
    read = found.filter(~pl.col("audit"), pl.col("route") == "expert", pl.col("arm") == "prototype")
    faults = [
        {finding.label for finding in bench.truth[image_id]} & bench.untaught
        for image_id in read["image_id"]
    ]
    return {
        "tasks": len(tasks),
        "read": int(found.filter(route="expert")["readers"].sum()),
        "deferred": len(found.filter(route=DEFERRED)),
        "experts": len(found.filter(pl.col("gold") == "", pl.col("task_id").is_in([*counting]))),
        "unreviewed": len(kept),
        "held": noise["held"],
        "true": true,
        "rate": noise["rate"],
        "low": noise["low"] if wrong else None,
        "high": noise["high"] if wrong else None,
        "covered": noise["low"] <= true <= noise["high"] if wrong else None,
        "above": true > settings.noise_target if wrong else None,
        "chosen": len(faults),
        "hits": sum(map(bool, faults)),
        "faults": len(set().union(*faults)),
    }


def reliability(
    candidates: pl.DataFrame, bench: Bench, assumption: Assumption, seed: int
) -> pl.DataFrame:
    """How probably labels are said to be wrong if nobody reads them, and whether they are.

    Returns:
        A row a task, accepted or not: `question_type`, `said`, `wrong`.
    """
    tasks = routing.tasks_of(candidates, bench.prototypes, bench.modality_of, 1)
    known = evidence.known_tasks(bench.items, {task["question_type"] for task in tasks})
    said = Said(bench.scored, drafts_of(evidence.to_ask([*tasks, *known]), bench, assumption, seed))
    trusted = trust_in(tasks, known, said)
    rows = []
    for task, by, error in zip(tasks, trusted.by, trusted.errors, strict=True):
        row = routing.answered(task, said)
        right = answer(task["question_type"], bench.truth[task["image_id"]], task["attribute"])
        given = row["model_answer"] if by == "model" else row["draft"]
        rows.append((task["question_type"], float(error), given != right))
    return pl.DataFrame(rows, schema=["question_type", "said", "wrong"], orient="row")
