"""A routed batch and its readings become labels: no duplicates, noise and quality measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from PIL import Image
from scipy.stats import norm

from medq_engine import agreement, readings, risk
from medq_engine.annotations import Reading, verdict_said
from medq_engine.checks import GOLD
from medq_engine.config import AnnotateImport, Costs, RouteParams
from medq_engine.dedup import duplicates, perceptual_hashes
from medq_engine.errors import MedqError
from medq_engine.ledger import Ledger, add, by_random_choice, ledger_of
from medq_engine.noise import Audit, Tally, interval, shifts_given, tally_of
from medq_engine.statistics import wilson
from medq_engine.tables import LABEL, table
from medq_engine.vocabulary import DEFERRED

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Accepted:
    """All accepted labels so far (schema LABEL) and this round's metrics."""

    labels: pl.DataFrame
    metrics: dict[str, object]


class Held(MedqError):  # noqa: N818 - the batch is held back, nothing broke
    """Annotators are shown to be below the floor; the message names them and what to do."""


def label_of(
    task: Mapping[str, object],
    counting: Mapping[str, Reading],
    seconds: Mapping[str, float],
) -> dict[str, object]:
    """The label of one task: what people settled on, or what the unreviewed route says."""
    kept = {name: task[name] for name in LABEL if name in task}
    reading = counting.get(task["task_id"])
    if reading is not None:
        given = {name: reading[name] for name in ("answer", "description", "annotator")}
        taken = {"verdict": verdict_said(reading), "seconds": seconds[task["task_id"]]}
        return {**kept, **given, **taken}
    by_model = task["route"] == "model"
    return {
        **kept,
        "answer": task["model_answer"] if by_model else task["draft"],
        "verdict": "",
        "description": "",
        "annotator": "model" if by_model else "draft",
        "seconds": 0.0,
    }


def counting_of(given: Sequence[Reading]) -> dict[str, Reading]:
    """What people settled on, by task; tasks without are left out."""
    settled = {task_id: readings.settled(rows) for task_id, rows in readings.by_task(given).items()}
    return {task_id: row for task_id, row in settled.items() if row is not None}


def rate(hits: int, trials: int) -> dict[str, object]:
    """A proportion with its Wilson interval; the rate is None without a trial."""
    low, high = wilson(hits, trials, CONFIDENCE)
    return {"rate": hits / trials if trials else None, "low": low, "high": high}


def counts(column: pl.Series) -> dict[str, int]:
    """How often each value occurs, in the order of the values."""
    return dict(sorted(column.value_counts().iter_rows()))


def audits_of(tasks: pl.DataFrame, counting: Mapping[str, Reading]) -> list[Audit]:
    """The audited labels, each with what people settled on.

    Whoever opened the hints first was no independent witness: such an audit is left out.
    """
    return [
        Audit(
            task["question_type"],
            task["error"],
            len(task["options"]),
            counting[task["task_id"]]["answer"]
            != (task["model_answer"] if task["unreviewed"] == "model" else task["draft"]),
        )
        for task in tasks.filter(pl.col("audit")).to_dicts()
        if task["task_id"] in counting and not counting[task["task_id"]]["unblinded"]
    ]


@dataclass(frozen=True)
class Checked:
    """What audits and gold tasks say of the labels that nobody reviewed.

    Attributes:
        kept: Ids of the tasks whose unreviewed label is accepted.
        noise: Share of wrong ones among these, for metrics.
        tally: What later rounds need to know (`noise.Tally`).
    """

    kept: frozenset[str]
    noise: dict[str, object]
    tally: dict[str, dict[str, object]]


def checked(
    tasks: pl.DataFrame,
    counting: Mapping[str, Reading],
    gold: Mapping[str, Mapping[str, float]],
    before: Tally,
    settings: RouteParams,
    rng: np.random.Generator,
) -> Checked:
    """Accept unreviewed labels as far as the checks allow, and estimate how many are wrong.

    By the rule `risk`, labels are accepted anew with what the checks of this round have told: what
    was routed in good faith may turn out to be too many. The paper's rule accepts all.

    Args:
        tasks: All tasks of the round (schema TASK).
        counting: What people settled on, by task.
        gold: `agreement.gold_accuracy`.
        before: Checks of the rounds before.
        settings: Rule, target and confidence.
        rng: Draws from what is believed.

    Returns:
        `noise` has `audited` labels and how many of them people answered otherwise (`wrong`: the
        label, or the reader); the estimated share of wrong ones among accepted labels (`rate`) with
        its interval (`low`, `high`) at `confidence`; the `target`, None under the paper's rule; and
        how many labels were `held` back. The rate is None where no label was accepted.
    """
    audits = audits_of(tasks, counting)
    right, read = (sum(int(row[name]) for row in gold.values()) for name in ("right", "tasks"))
    spread = dict(tasks.drop_nulls("error_sd").select("question_type", "error_sd").iter_rows())
    shifts = shifts_given(spread, audits, right, read, before, rng)
    labels = tasks.filter(pl.col("route").is_in(["model", "draft"]))
    errors, kinds = labels["error"].to_numpy(), labels["question_type"].to_list()
    confidence, target = settings.noise_confidence, None
    safe = np.ones(len(labels), dtype=bool)
    if settings.rule == "risk":
        target = settings.noise_target
        safe = risk.accepted(errors, kinds, shifts, target, confidence)
    left = np.flatnonzero(safe)
    estimate, low, high = None, 0.0, 1.0
    if len(left):
        wrong = risk.wrong_draws(errors[left], [kinds[i] for i in left], shifts, rng)
        estimate, low, high = interval(wrong, confidence)
    found = {
        "audited": len(audits),
        "wrong": sum(audit.differs for audit in audits),
        "rate": estimate,
        "low": low,
        "high": high,
        "confidence": confidence,
        "target": target,
        "held": len(labels) - len(left),
    }
    kept = frozenset(labels["task_id"].gather(left).to_list())
    return Checked(kept, found, tally_of(audits, right, read))


def arm_yield(tasks: pl.DataFrame, counting: Mapping[str, Reading]) -> dict[str, object]:
    """How often people corrected the model, on fetched and on random images, and the lift.

    Audit tasks are left out: they were drawn among trusted labels. The other control tasks that
    people read were drawn at random, the fetched ones because their reading was worth most: the
    lift is that of search and ranking together.
    """
    found: dict[str, object] = {}
    read = tasks.filter(pl.col("task_id").is_in(list(counting)), ~pl.col("audit"))
    hits = []
    for arm in ("prototype", "control"):
        here = read.filter(pl.col("arm") == arm)
        corrected = corrections(here, counting)
        found[arm] = {"labels": len(here), "corrected": corrected, **rate(corrected, len(here))}
        hits.append((corrected, len(here)))
    return found | {"lift": lift(*hits)}


def lift(fetched: tuple[int, int], control: tuple[int, int]) -> dict[str, float | None]:
    """A ratio of two shares with its interval; each share is (hits, trials).

    Half a hit is added to all four counts, so that none is 0 (Walter 1975; interval by Katz et al.
    1978). All are None where one share was never measured.
    """
    if not (fetched[1] and control[1]):
        return {"value": None, "low": None, "high": None}
    (a, n), (b, m) = ((hits + 0.5, trials + 0.5) for hits, trials in (fetched, control))
    centre = np.log(a / n) - np.log(b / m)
    half = norm.ppf(0.5 + CONFIDENCE / 2) * np.sqrt(1 / a - 1 / n + 1 / b - 1 / m)
    low, value, high = np.exp([centre - half, centre, centre + half]).tolist()
    return {"value": value, "low": low, "high": high}


def corrections(tasks: pl.DataFrame, counting: Mapping[str, Reading]) -> int:
    """Tasks on which people settled on another answer than the model's."""
    pairs = tasks.select("task_id", "model_answer").iter_rows()
    return sum(counting[task]["answer"] != own for task, own in pairs if task in counting)


def quality(
    tasks: pl.DataFrame,
    given: Sequence[Reading],
    floor: float,
    rng: np.random.Generator,
) -> dict[str, object]:
    """How far annotators agree, and how often they are right where the answer is known.

    Raises:
        Held: Annotators are shown to be below the floor on gold tasks.
    """
    rows = tasks.to_dicts()
    gold = agreement.gold_accuracy(rows, given)
    below = agreement.below_floor(gold, floor)
    if below:
        named = ", ".join(f"{n} ({gold[n]['right']} of {gold[n]['tasks']})" for n in below)
        raise Held(
            f"the batch is held back: on gold tasks below annotate_import.gold_floor ({floor:.0%}) "
            f"with 95 % confidence: {named}\n"
            "Let somebody else read their tasks (take their lines out of data/annotations), or "
            "change the floor in params.yaml, where the change is seen; then run `dvc repro`."
        )
    groups = [g for g in readings.by_task(given).values() if len(readings.first_readings(g)) > 1]
    return {
        "agreement": agreement.agreement_of(rows, given, rng),
        "gold": gold,
        "floor": floor,
        "double": {
            "tasks": len(groups),
            "disagreements": sum(map(readings.disagree, groups)),
            "adjudicated": sum(any(row["adjudicates"] for row in g) for g in groups),
        },
        "unjudged": sum(bool(row["unjudged"]) for row in given),
        "unblinded": sum(row["unblinded"] for row in given),
    }


def accept(
    tasks: pl.DataFrame,
    given: Sequence[Reading],
    history: pl.DataFrame,
    spent: Ledger | None,
    images: Mapping[str, Image.Image],
    settings: AnnotateImport,
    route: RouteParams,
    costs: Costs,
    rng: np.random.Generator,
) -> Accepted:
    """Add a round's labels to the history, without what repeats an earlier one.

    Args:
        tasks: All tasks of the round (schema TASK). Deferred ones take no label, nor do gold ones
            and those that nobody can judge.
        given: All readings of the batch, checked and complete (`readings.complete`).
        history: Labels of the rounds before (schema LABEL).
        spent: Ledger of the rounds before, None in the first.
        images: Pool images by id.
        settings: Thresholds of the import.
        route: Of unreviewed labels, how many may be wrong.
        costs: What labels cost.
        rng: Of the bootstrap of the agreement, and of the noise.

    Raises:
        Held: Annotators are shown to be below the floor on gold tasks.
    """
    measured = quality(tasks, given, settings.gold_floor, rng)
    groups = readings.by_task(given)
    counting = counting_of(given)
    seconds = {i: float(sum(row["seconds"] for row in rows)) for i, rows in groups.items()}
    before = Tally(**(spent or {}).get("checks", {}))
    unreviewed = checked(tasks, counting, measured["gold"], before, route, rng)
    labelled = tasks.filter(
        pl.col("arm") != GOLD, pl.col("task_id").is_in([*unreviewed.kept, *counting])
    )
    fresh = [label_of(task, counting, seconds) for task in labelled.to_dicts()]
    # People's labels first: of two duplicates the reviewed one must stay.
    fresh.sort(key=lambda label: (label["route"] != "expert", label["task_id"]))
    labels = pl.concat([history, table(fresh, LABEL)])
    hashes = perceptual_hashes([images[image_id] for image_id in labels["image_id"]])
    texts = [
        f"{q} {a} {d}" for q, a, d in labels.select("question", "answer", "description").rows()
    ]
    repeated = duplicates(hashes, texts, settings.phash_bits, settings.text_similarity)
    kept = labels[np.setdiff1d(np.arange(len(labels)), repeated).tolist()]
    now = kept.filter(pl.col("round") == tasks["round"][0]) if len(tasks) else kept[:0]
    by_route = counts(now["route"])
    this_round = ledger_of(tasks, given, by_route, costs) | {"checks": unreviewed.tally}
    total = add(spent, this_round)
    corrected = arm_yield(tasks, counting)
    own = tasks.filter(pl.col("arm") != GOLD)
    read = own.filter(pl.col("task_id").is_in(list(counting)))
    metrics = {
        "round": len(now),
        "total": len(kept),
        "by_route": by_route,
        "annotators": {name: part["readings"] for name, part in this_round["by_annotator"].items()},
        "expert_seconds": this_round["seconds"],
        "expert_minutes_total": total["seconds"] / 60,
        "deferred": int((tasks["route"] == DEFERRED).sum()),
        "dropped": {"duplicates": len(repeated)},
        "noise": unreviewed.noise,
        "yield": corrected,
        "quality": measured,
        "ledger": {
            "currency": costs.currency,
            "round": this_round,
            "total": total,
            "random": by_random_choice(
                len(read), corrections(read, counting), corrected["control"]
            ),
        },
    }
    return Accepted(kept, metrics)
