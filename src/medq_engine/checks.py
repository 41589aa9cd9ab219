"""What of the experts' time goes into checking: audits, gold tasks, second and random readings.

An audit checks the labels that nobody reviews, a gold task (an image of dev, whose answer is known)
the annotator, a second reading whether two annotators agree, a control task (a random image,
whatever is thought of it) what search and ranking are worth. All are paid out of the experts'
ceiling, so that checking costs labels and not more of their time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from medq_engine.config import RouteParams
from medq_engine.language import Finding, answer, question

GOLD = "gold"  # the arm of gold tasks

# What people see of a task. Whether it is an audit or has a known answer is not theirs to know.
QUEUE = (
    "task_id",
    "image_id",
    "modality",
    "question_type",
    "attribute",
    "question",
    "options",
    "model_answer",
    "model_probability",
    "entropy",
    "draft",
    "agreement",
    "route",
    "prototype_id",
    "readers",
    "round",
)


@dataclass(frozen=True)
class Quota:
    """Readings that experts may be asked for in a batch, and how many of them check something."""

    readings: int
    audits: int
    gold: int
    doubles: int
    control: int

    @property
    def experts(self) -> int:
        """Tasks of the batch, audits and control tasks included, that reach an expert."""
        return self.readings - self.gold - self.doubles


def quota_of(tasks: int, settings: RouteParams) -> Quota:
    """The quota of a batch of so many tasks; every task has at most two readers."""
    readings = int(settings.expert_share * tasks + 1e-9)  # 0.29 * 100 is a hair below 29
    audits = round(settings.audit_share * readings)
    gold = min(round(settings.gold_share * readings), readings - audits)
    left = min(readings - gold - audits, (readings - gold) // 2)
    doubles = min(round(settings.double_share * readings), left)
    # The other parts may have been rounded up.
    control = min(round(settings.control_share * readings), readings - audits - gold - doubles)
    return Quota(readings, audits, gold, doubles, control)


def gold_tasks(
    items: pl.DataFrame,
    prototypes: pl.DataFrame,
    count: int,
    round_number: int,
    rng: np.random.Generator,
) -> list[dict[str, object]]:
    """Tasks about images of dev, each with the answer that is known (`gold`).

    They are asked as the others are. One question an image; images with several faults are left
    out, since more than one answer could be defended.

    Args:
        items: Schema ITEM, of dev.
        prototypes: Schema PROTOTYPE; a gold task borrows one that asks the like, so that it cannot
            be told from an audit. Only what-questions, as control images are asked, need none.
        count: How many, or fewer where dev has not as many images.
        round_number: The round that asks.
        rng: Draws them.
    """
    simple = items.filter(
        pl.col("task") == "perception", pl.col("findings").list.len() <= 1
    ).with_columns(image_id=pl.col("image_ids").list.first())
    lent: dict[tuple[str, str, str], list[dict[str, object]]] = {}
    for prototype in prototypes.to_dicts():
        lent.setdefault(_asks(prototype), []).append(prototype)
    tasks: dict[str, dict[str, object]] = {}
    for item in simple[rng.permutation(len(simple)).tolist()].iter_rows(named=True):
        alike = lent.get(_asks(item), [])
        if len(tasks) < count and (alike or item["question_type"] == "what"):
            tasks.setdefault(item["image_id"], gold_task(item, alike, round_number, rng))
    return list(tasks.values())


def _asks(row: Mapping[str, object]) -> tuple[str, str, str]:
    """What an item or a prototype asks; only a yes-no question is about a fault."""
    kind = row["question_type"]
    return row["modality"], kind, row["attribute"] if kind == "yes-no" else ""


def gold_task(
    item: Mapping[str, object],
    alike: Sequence[Mapping[str, object]],
    round_number: int,
    rng: np.random.Generator,
) -> dict[str, object]:
    """One item of dev as a task: fields of schema TASK up to `round`, and `gold`."""
    kind, modality = item["question_type"], item["modality"]
    borrowed = alike[int(rng.integers(len(alike)))] if alike else {}
    asked = item["attribute"] if kind == "yes-no" else borrowed.get("attribute", "")
    text, options = question(kind, modality, asked)
    findings = [Finding(**finding) for finding in item["findings"]]
    return {
        "task_id": f"r{round_number:03d}-{item['image_id']}",
        "image_id": item["image_id"],
        "prototype_id": borrowed.get("prototype_id", ""),
        "arm": GOLD,
        "modality": modality,
        "question_type": kind,
        "attribute": asked,
        "question": text,
        "options": list(options),
        "round": round_number,
        "gold": answer(kind, findings, asked),
    }


def second_readers(routes: Sequence[str], doubles: int, rng: np.random.Generator) -> list[int]:
    """Readers that each task wants: two for some of the experts' tasks, drawn at random."""
    experts = [i for i, route in enumerate(routes) if route == "expert"]
    twice = set(rng.permutation(experts)[:doubles].tolist())
    return [2 if i in twice else 1 for i in range(len(routes))]


def queue_row(task: Mapping[str, object]) -> dict[str, object]:
    """A task (schema TASK) as it stands in the queue; audits and gold tasks are alike `blind`."""
    blind = bool(task["audit"] or task["gold"])
    return {name: task[name] for name in QUEUE} | {"blind": blind}
