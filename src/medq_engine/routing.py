"""Who labels a candidate: the model itself, the draft annotator, or an expert.

The paper's rule (arXiv 2603.19863) on H, the mean token NLL of the model's own answer, and delta,
its agreement with the draft:

    (a) H >= tau_H                      -> keep the draft's label
    (b) H <  tau_H and delta <  tau_ann -> expert
    (c) H <  tau_H and delta >= tau_ann -> keep the model's own label

Beyond it: experts have a ceiling. They see first what the incumbent most likely got wrong; what is
disputed beyond the ceiling is deferred: it takes no label, and its image stays in the pool for a
later round. A part of the experts' time is for checking (`checks`): a random audit of the labels
that nobody reviews is the only way to know how many of those are wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from medq_engine.checks import Quota, quota_of, second_readers
from medq_engine.config import RouteParams
from medq_engine.errors import MedqError
from medq_engine.language import NO_DEGRADATION, SEVERITY_OPTIONS, Finding, answer, question
from medq_engine.questions import Query, Scored
from medq_engine.tables import DRAFT, table
from medq_engine.vocabulary import DEFERRED, Route


@dataclass(frozen=True)
class Routed:
    """The route of one task, or DEFERRED; an audit was drawn from the route `instead`."""

    route: str
    audit: bool
    instead: str


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


def fault_errors(asked: pl.DataFrame) -> dict[tuple[str, str], float]:
    """The incumbent's error rate on dev, for every modality and fault that its images show.

    Args:
        asked: Perception items (schema ITEM) with their predictions (schema PREDICTION).
    """
    faults = [
        answer("what", [Finding(**finding) for finding in shown]) for shown in asked["findings"]
    ]
    rates = (
        asked.with_columns(fault=pl.Series(faults, dtype=pl.String))
        .group_by("modality", "fault")
        .agg(pl.col("error_rate").mean())
    )
    return {(modality, fault): rate for modality, fault, rate in rates.iter_rows()}


def claim(task: Mapping[str, object], draft: str) -> str:
    """The fault that a draft says is in the image, or NO_DEGRADATION."""
    if task["question_type"] == "what":
        return draft
    return NO_DEGRADATION if draft in ("No", "None") else str(task["attribute"])


def suspicion(
    task: Mapping[str, object], draft: str, errors: Mapping[tuple[str, str], float]
) -> float:
    """How much a draft that disagrees makes the model's answer suspect, to rank experts' tasks.

    It is the model's error rate on dev where the claimed fault is there: a draft that claims what
    the model knows well is most likely wrong itself, one that claims what the model never sees is
    worth a look. A draft that claims the very fault whose failures fetched the image counts twice:
    the search and the draft are two witnesses. A fault that dev never shows counts as never seen.
    A draft that could not be read claims nothing.
    """
    if not draft:
        return 0.0
    claimed = claim(task, draft)
    error = errors.get((str(task["modality"]), claimed), 1.0)
    return 2 * error if claimed == task["attribute"] else error


def assign(
    entropies: Sequence[float],
    agreements: Sequence[float],
    drafted: Sequence[bool],
    suspicions: Sequence[float],
    *,
    entropy_quantile: float,
    tau_ann: float,
    quota: Quota,
    rng: np.random.Generator,
) -> tuple[list[Routed], float]:
    """Route a batch, within the experts' quota.

    Where more tasks qualify for an expert than the quota allows, the most suspect go first and
    the rest are deferred: neither model nor draft can be trusted where they disagree.

    Returns:
        A route for each task, and tau_H (nats), the quantile of the batch's H.
    """
    h = np.asarray(entropies, dtype=float)
    if not len(h):
        return [], 0.0
    tau_h = float(np.quantile(h, entropy_quantile))
    routes: list[str] = [
        three_way(x, d, tau_h, tau_ann) for x, d in zip(h, agreements, strict=True)
    ]
    # A draft that could not be read labels nothing, however unsure the model is.
    routes = [
        "expert" if route == "draft" and not there else route
        for route, there in zip(routes, drafted, strict=True)
    ]
    wanted = [i for i, route in enumerate(routes) if route == "expert"]
    wanted.sort(key=lambda i: (-suspicions[i], -h[i], i))
    for i in wanted[max(0, quota.experts - quota.audits) :]:
        routes[i] = DEFERRED
    unreviewed = [i for i, route in enumerate(routes) if route in ("model", "draft")]
    audited = set(rng.permutation(unreviewed)[: quota.audits].tolist())
    routed = [
        Routed("expert", True, route) if i in audited else Routed(route, False, route)
        for i, route in enumerate(routes)
    ]
    return routed, tau_h


def query_of(task: Mapping[str, object]) -> Query:
    """What a task asks, of its image by id."""
    return Query((task["image_id"],), task["question"], tuple(task["options"]))


def drafted(
    tasks: Sequence[Mapping[str, object]], answers: Sequence[str | None], annotator: str
) -> pl.DataFrame:
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


class RoutingError(MedqError):
    """A candidate cannot be routed; the message says what is missing."""


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


def route(
    tasks: Sequence[Mapping[str, object]],
    scored: Sequence[Scored],
    drafts: pl.DataFrame,
    errors: Mapping[tuple[str, str], float],
    settings: RouteParams,
    rng: np.random.Generator,
) -> tuple[list[dict[str, object]], float]:
    """Tasks with the model's answer, H, draft, agreement and route (schema TASK), and tau_H.

    Args:
        tasks: From `tasks_of`.
        scored: The incumbent's answer to each task.
        drafts: Schema DRAFT.
        errors: `fault_errors` of the incumbent.

    Raises:
        RoutingError: The drafts hold no answer to a task's question.
    """
    drafted = _by_question(drafts)
    for task in tasks:
        if (task["image_id"], task["question"]) not in drafted:
            raise RoutingError(
                f"no draft for image {task['image_id']}, question {task['question']!r}: "
                "make data/drafts.parquet anew for this pool (`dvc repro data/dvc.yaml:drafts`)"
            )
    rows = [
        answered(task, result, drafted[task["image_id"], task["question"]])
        for task, result in zip(tasks, scored, strict=True)
    ]
    quota = quota_of(len(rows), settings)
    routed, tau_h = assign(
        [row["entropy"] for row in rows],
        [row["agreement"] for row in rows],
        [bool(row["draft"]) for row in rows],
        [suspicion(row, row["draft"], errors) for row in rows],
        entropy_quantile=settings.entropy_quantile,
        tau_ann=settings.agreement,
        quota=quota,
        rng=rng,
    )
    # An audit has one reader, as a gold task has: two would tell them apart.
    routes = ["audit" if where.audit else where.route for where in routed]
    readers = second_readers(routes, quota.doubles, rng)
    for row, where, count in zip(rows, routed, readers, strict=True):
        row |= {"route": where.route, "audit": where.audit, "unreviewed": where.instead}
        row |= {"gold": "", "readers": count}
    return rows, tau_h


def for_experts(
    gold: Sequence[Mapping[str, object]], scored: Sequence[Scored], drafts: pl.DataFrame
) -> list[dict[str, object]]:
    """Gold tasks (`checks.gold_tasks`) as routed ones (schema TASK); a draft may be missing."""
    given = _by_question(drafts)
    always = {"route": "expert", "audit": False, "unreviewed": "expert", "readers": 1}
    return [
        answered(task, result, given.get((task["image_id"], task["question"]), "")) | always
        for task, result in zip(gold, scored, strict=True)
    ]


def answered(task: Mapping[str, object], result: Scored, draft: str) -> dict[str, object]:
    """A task with the model's answer, its probability and H, the draft and their agreement."""
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


def _by_question(drafts: pl.DataFrame) -> dict[tuple[str, str], str]:
    keys = zip(drafts["image_id"], drafts["question"], strict=True)
    return dict(zip(keys, drafts["answer"], strict=True))
