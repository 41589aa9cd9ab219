"""Who labels a candidate: the model itself, the draft annotator, or an expert.

By `risk` (`route.rule`), a label that nobody reviews is the more probable one of the model's answer
and the draft (`trust`), and it is accepted while few of such labels are wrong (`risk`). By `paper`
(arXiv 2603.19863), on H, the mean token NLL of the model's own answer, and delta, its agreement
with the draft:

    (a) H >= tau_H                      -> keep the draft's label
    (b) H <  tau_H and delta <  tau_ann -> expert
    (c) H <  tau_H and delta >= tau_ann -> keep the model's own label

Beyond both: experts have a ceiling. They see first what the model probably does not know (`worth`);
what is left is deferred: it takes no label, and its image stays in the pool for a later round. A
part of their time is for checking (`checks`): a random audit of the labels that nobody reviews
tells how many of those are wrong, and random images tell what the search is worth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from medq_engine import risk, worth
from medq_engine.checks import Quota, quota_of, second_readers
from medq_engine.config import RouteParams
from medq_engine.errors import MedqError
from medq_engine.evidence import Said, Task, to_ask
from medq_engine.language import SEVERITY_OPTIONS, question
from medq_engine.noise import Tally, shifts_given
from medq_engine.questions import Query
from medq_engine.tables import DRAFT, table
from medq_engine.trust import Trusted, trust_in
from medq_engine.vocabulary import DEFERRED, Route

UNREVIEWED = ("model", "draft")


class RoutingError(MedqError):
    """A candidate cannot be routed; the message says what is missing."""


@dataclass(frozen=True)
class Routed:
    """A routed batch: rows of schema TASK, and tau_H (nats) where the paper's rule set one."""

    rows: list[dict[str, object]]
    tau_h: float | None


def agreement(own: str, draft: str) -> float:
    """R(own, draft) in [0, 1]: 1 for the same answer, 0.5 for neighbouring severities, else 0."""
    if own == draft:
        return 1.0
    if own in SEVERITY_OPTIONS and draft in SEVERITY_OPTIONS:
        distance = abs(SEVERITY_OPTIONS.index(own) - SEVERITY_OPTIONS.index(draft))
        return 0.5 if distance == 1 else 0.0
    return 0.0


def three_way(entropy: float, delta: float, tau_h: float, tau_ann: float) -> Route:
    """The paper's rule for one task."""
    if entropy >= tau_h:
        return "draft"
    return "expert" if delta < tau_ann else "model"


def by_paper(
    rows: Sequence[Mapping[str, object]], settings: RouteParams
) -> tuple[list[str], float | None]:
    """The paper's route for every task, and tau_H, the quantile of the batch's H."""
    if not rows:
        return [], None
    tau_h = float(np.quantile([row["entropy"] for row in rows], settings.entropy_quantile))
    routes = [
        three_way(row["entropy"], row["agreement"], tau_h, settings.agreement) for row in rows
    ]
    # A draft that could not be read labels nothing, however unsure the model is.
    return [
        "expert" if route == "draft" and not row["draft"] else route
        for route, row in zip(routes, rows, strict=True)
    ], tau_h


def by_risk(
    rows: Sequence[Mapping[str, object]],
    trusted: Trusted,
    settings: RouteParams,
    before: Tally,
    rng: np.random.Generator,
) -> list[str]:
    """The route of every task under risk control: unreviewed where that is safe, else expert."""
    shifts = shifts_given(trusted.spread, [], 0, 0, before, rng)
    kinds = [row["question_type"] for row in rows]
    target, confidence = settings.noise_target, settings.noise_confidence
    safe = risk.accepted(trusted.errors, kinds, shifts, target, confidence)
    return [by if taken else "expert" for by, taken in zip(trusted.by, safe, strict=True)]


def with_experts(
    routes: Sequence[str],
    tasks: Sequence[Task],
    trusted: Trusted,
    known_errors: Mapping[worth.Fault, float],
    quota: Quota,
    diminishing: float,
    rng: np.random.Generator,
) -> tuple[list[str], list[str]]:
    """What experts read, within their quota, and what is deferred.

    Control tasks reach them at random or not at all, whatever is thought of them: only so can the
    share of the model's wrong answers on random images be measured.

    Returns:
        A route for each task, `audit` for an audit, and what it would have been without audits.
    """
    routes = list(routes)
    control = [n for n, task in enumerate(tasks) if task["arm"] == "control"]
    # Where there is time for more than all fetched images, it goes to random ones.
    spare = quota.experts - quota.audits - (len(tasks) - len(control))
    drawn = set(rng.permutation(control)[: max(quota.control, spare)].tolist())
    for n in control:
        if n in drawn or routes[n] == "expert":
            routes[n] = "expert" if n in drawn else DEFERRED
    unreviewed = [n for n, route in enumerate(routes) if route in UNREVIEWED]
    # An audited label is no longer unreviewed: of few, half are left to be labels.
    audits = rng.permutation(unreviewed)[: min(quota.audits, len(unreviewed) // 2)].tolist()
    wanted = [n for n, route in enumerate(routes) if route == "expert" and n not in drawn]
    probable, value = worth.parts(
        [tasks[n] for n in wanted], [trusted.chances[n] for n in wanted], known_errors
    )
    room = max(0, quota.experts - len(drawn) - len(audits))
    read = {wanted[n] for n in worth.chosen(probable, value, room, diminishing)}
    for n in wanted:
        if n not in read:
            routes[n] = DEFERRED
    instead = list(routes)
    for n in audits:
        routes[n] = "audit"
    return routes, instead


def route(
    tasks: Sequence[Task],
    known: Sequence[Task],
    said: Said,
    known_errors: Mapping[worth.Fault, float],
    settings: RouteParams,
    before: Tally,
    rng: np.random.Generator,
) -> Routed:
    """Tasks with the model's answer, the draft, how far they are trusted, and the route.

    Args:
        tasks: From `tasks_of`.
        known: Of dev, of the same question types (`evidence.known_tasks`).
        said: Answers to everything that `evidence.to_ask` asks of both.
        known_errors: `worth.fault_errors` of the incumbent.
        settings: The rule and the experts' quota.
        before: Audits and gold tasks of earlier rounds.
        rng: Of all draws.

    Raises:
        RoutingError: The drafts hold no answer to a question about a task's image.
    """
    for row in to_ask(tasks):
        if (row["image_id"], row["question"]) not in said.drafts:
            raise RoutingError(
                f"no draft for image {row['image_id']}, question {row['question']!r}: "
                "make data/drafts.parquet anew for this pool (`dvc repro data/dvc.yaml:drafts`)"
            )
    rows = [answered(task, said) for task in tasks]
    trusted, tau_h = trust_in(tasks, known, said), None
    if settings.rule == "paper":
        routes, tau_h = by_paper(rows, settings)
    else:
        routes = by_risk(rows, trusted, settings, before, rng)
    quota = quota_of(len(rows), settings)
    routes, instead = with_experts(
        routes, tasks, trusted, known_errors, quota, settings.diminishing, rng
    )
    # An audit has one reader, as a gold task has: two would tell them apart.
    readers = second_readers(routes, quota.doubles, rng)
    for n, row in enumerate(rows):
        label = row["draft"] if instead[n] == "draft" else row["model_answer"]
        # By the paper's rule the label need not be the more probable answer.
        error = trusted.errors[n]
        if instead[n] in UNREVIEWED and instead[n] != trusted.by[n]:
            error = 1 - trusted.chances[n][list(row["options"]).index(label)]
        audit = routes[n] == "audit"
        row |= {"route": "expert" if audit else routes[n], "audit": audit}
        row |= {"unreviewed": instead[n], "gold": "", "readers": readers[n]}
        row |= {"error": float(error), "error_sd": trusted.spread[row["question_type"]]}
    return Routed(rows, tau_h)


def query_of(task: Task) -> Query:
    """What a task asks, of its image by id."""
    return Query((task["image_id"],), task["question"], tuple(task["options"]))


def drafted(tasks: Sequence[Task], answers: Sequence[str | None], annotator: str) -> pl.DataFrame:
    """An annotator's answers to the tasks as drafts (schema DRAFT); one not read is empty."""
    return table(
        (
            {
                "image_id": task["image_id"],
                "question": task["question"],
                "answer": answer or "",
                "annotator": annotator,
            }
            for task, answer in zip(tasks, answers, strict=True)
        ),
        DRAFT,
    )


def by_question(drafts: pl.DataFrame) -> dict[tuple[str, str], str]:
    """Drafts (schema DRAFT) by image id and question."""
    keys = zip(drafts["image_id"], drafts["question"], strict=True)
    return dict(zip(keys, drafts["answer"], strict=True))


def tasks_of(
    candidates: pl.DataFrame,
    prototypes: pl.DataFrame,
    modality_of: Mapping[str, str],
    round_number: int,
) -> list[dict[str, object]]:
    """A task for every candidate: its prototype's question; a control image is asked "what"."""
    about = {row["prototype_id"]: row for row in prototypes.iter_rows(named=True)}
    tasks = []
    for row in candidates.iter_rows(named=True):
        prototype = about.get(row["prototype_id"], {"question_type": "what", "attribute": ""})
        modality, kind = modality_of[row["image_id"]], prototype["question_type"]
        text, options = question(kind, modality, prototype["attribute"])
        tasks.append(
            {
                "task_id": f"r{round_number:03d}-{row['image_id']}",
                "image_id": row["image_id"],
                "prototype_id": row["prototype_id"],
                "arm": row["arm"],
                "modality": modality,
                "question_type": kind,
                "attribute": prototype["attribute"],
                "question": text,
                "options": list(options),
                "round": round_number,
            }
        )
    return tasks


def for_experts(gold: Sequence[Task], said: Said) -> list[dict[str, object]]:
    """Gold tasks (`checks.gold_tasks`) as routed ones (schema TASK); a draft may be missing."""
    always = {"route": "expert", "audit": False, "unreviewed": "expert", "readers": 1}
    unknown = {"error": None, "error_sd": None}
    return [answered(task, said) | always | unknown for task in gold]


def answered(task: Task, said: Said) -> dict[str, object]:
    """A task with the model's answer, its probability and H, the draft and their agreement."""
    key = task["image_id"], task["question"]
    result, draft = said.scored[key], said.drafts.get(key, "")
    best = int(result.probabilities.argmax())
    own = task["options"][best]
    return {
        **task,
        "model_answer": own,
        "model_probability": float(result.probabilities[best]),
        "entropy": float(result.nll[best]),
        "draft": draft,
        "agreement": agreement(own, draft),
    }


def summary(tasks: pl.DataFrame, tau_h: float | None) -> dict[str, object]:
    """A routed batch (schema TASK, without gold tasks) in numbers.

    Returns:
        Counts, and `trusted`: of the labels that nobody reviews, by question type, how many there
        are, how many of them are expected to be wrong, and the least sure one's error.
    """
    unreviewed = tasks.filter(pl.col("unreviewed").is_in(UNREVIEWED))
    trusted = unreviewed.group_by("question_type").agg(
        labels=pl.len(), expected_wrong=pl.col("error").sum(), least_sure=pl.col("error").max()
    )
    return {
        "tasks": len(tasks),
        "by_route": dict(sorted(tasks["route"].value_counts().iter_rows())),
        "audits": int(tasks["audit"].sum()),
        "control": len(tasks.filter(pl.col("arm") == "control", pl.col("unreviewed") == "expert")),
        "second_readings": int((tasks["readers"] == 2).sum()),
        "tau_h": tau_h,
        "mean_entropy": tasks["entropy"].mean(),
        "agreement_with_draft": (tasks["agreement"] == 1).mean(),
        "trusted": {
            row.pop("question_type"): row for row in trusted.sort("question_type").to_dicts()
        },
    }
