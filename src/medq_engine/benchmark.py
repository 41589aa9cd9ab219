"""The embedded benchmark: the items of one split, from records with truth.

MedQ-Bench's tasks (arXiv 2510.01691): perception (yes-no, what, how), description without a
reference, comparison of a pair. Answers are balanced within every modality and split, so that a
model which does not look at the image scores chance (`blind` measures it):

- yes-no: half of the questions are about a fault that is there, and every fault is asked about as
  often in vain as with success;
- what: "no degradation" is among four options and right in a quarter; every fault is a distractor
  in proportion to how often it is the truth;
- how: severity (None, Mild, Severe) and overall quality (Good, Usable, Reject) in turn, each of
  three answers in a third.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from medq_engine.degradations import DEGRADATIONS, for_modality
from medq_engine.descriptions import COMPARE, DESCRIBE, FIRST, SECOND, compare, describe
from medq_engine.language import (
    NO_DEGRADATION,
    Finding,
    answer,
    quality_question,
    question,
    unlike,
    verdict_of,
    worst,
)
from medq_engine.simulation import seeded
from medq_engine.vocabulary import MODALITIES, VERDICTS, Modality
from medq_engine.worlds import Made

OPTIONS = 4
# A third of the images are fine; this share of the others, asked about their own fault, makes Yes
# and No equally frequent, and so many of the fine ones make "no degradation" right in a quarter.
ASKED_PRESENT = 3 / 4
FINE_ASKED_WHAT = 2 / 3
DESCRIBED = 3
"""One record in so many is described; MedQ-Bench has one description in six perception items."""

Row = dict[str, object]


@dataclass(frozen=True)
class Question:
    """A perception question about one image; `attribute` is the fault that it is about."""

    text: str
    options: tuple[str, ...]
    answer: str
    attribute: str


def scarcest(
    allowed: Iterable[str], wanted: Counter, had: Counter, rng: np.random.Generator
) -> str:
    """The label that is furthest below what is wanted of it; of several, one at random."""
    order = [str(label) for label in rng.permutation(list(allowed))]
    return max(order, key=lambda label: wanted[label] - had[label])


def labels_seen(made: Made) -> list[str]:
    """Labels of all faults of an image: no other one that looks like them may be offered."""
    return [*(finding.label for finding in made.findings), *made.shows]


def yes_no_questions(
    modality: Modality, made: Sequence[Made], rng: np.random.Generator
) -> list[Question]:
    """One yes-no question for each image of a modality, in their order."""
    shown = [one.findings for one in made]
    of_fault: dict[str, list[int]] = defaultdict(list)
    for i in rng.permutation(len(shown)):
        if shown[i]:
            of_fault[str(rng.choice([finding.label for finding in shown[i]]))].append(int(i))
    present = {
        i: label
        for label, images in of_fault.items()
        for i in images[: stochastic_round(ASKED_PRESENT * len(images), rng)]
    }
    wanted, had = Counter(present.values()), Counter()
    # The images with most faults leave the least choice: they choose first.
    absent = sorted(set(range(len(shown))) - set(present), key=lambda i: (-len(shown[i]), i))
    asked = dict(present)
    for i in absent:
        allowed = unlike(modality, labels_seen(made[i]))
        asked[i] = scarcest(allowed, wanted, had, rng)
        had[asked[i]] += 1
    return [
        Question(
            *question("yes-no", modality, asked[i]),
            answer("yes-no", findings, asked[i]),
            asked[i],
        )
        for i, findings in enumerate(shown)
    ]


def stochastic_round(value: float, rng: np.random.Generator) -> int:
    """A whole number whose expectation is `value`."""
    return int(value) + int(rng.random() < value % 1)


def what_questions(
    modality: Modality, made: Sequence[Made], rng: np.random.Generator
) -> list[Question | None]:
    """One what-question for each image, in their order; None for a third of the fine images."""
    shown = [one.findings for one in made]
    fine = [int(i) for i in rng.permutation([i for i, f in enumerate(shown) if not f])]
    left_out = set(fine[round(FINE_ASKED_WHAT * len(fine)) :])
    truths = {}
    for i, findings in enumerate(shown):
        if i not in left_out:
            visible = [f.label for f in findings if f.severity == worst(findings)]
            truths[i] = str(rng.choice(visible)) if visible else NO_DEGRADATION
    right = Counter(truth for truth in truths.values() if truth != NO_DEGRADATION)
    slots = sum(OPTIONS - (1 if truth == NO_DEGRADATION else 2) for truth in truths.values())
    per_truth = slots / max(right.total(), 1)
    wanted = Counter({label: count * per_truth for label, count in right.items()})
    had: Counter = Counter()
    text = question("what", modality)[0]
    asked: list[Question | None] = [None] * len(shown)
    for i in sorted(truths, key=lambda i: (-len(shown[i]), i)):
        truth = truths[i]
        options = [truth] if truth == NO_DEGRADATION else [truth, NO_DEGRADATION]
        taken = labels_seen(made[i])
        while len(options) < OPTIONS and (allowed := unlike(modality, taken)):
            options.append(scarcest(allowed, wanted, had, rng))
            had[options[-1]] += 1
            taken.append(options[-1])
        shuffled = tuple(str(option) for option in rng.permutation(options))
        asked[i] = Question(text, shuffled, truth, truth)
    return asked


def how_questions(
    modality: Modality, made: Sequence[Made], rng: np.random.Generator
) -> list[Question]:
    """One how-question for each image, in their order: of images alike, half get each of the two.

    Images are alike if both answers are the same.
    """
    shown = [one.findings for one in made]
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i in rng.permutation(len(shown)):
        alike[worst(shown[i]), verdict_of(shown[i])].append(int(i))
    turn = {i: place % 2 for images in alike.values() for place, i in enumerate(images)}
    kinds = (question("how", modality), quality_question(modality))
    asked = []
    for i, findings in enumerate(shown):
        text, options = kinds[turn[i]]
        about = answer("what", findings)
        asked.append(Question(text, options, answer("how", findings, options=options), about))
    return asked


def shared_columns(made: Made) -> Row:
    """What all items of one record have in common."""
    record = made.record
    return {
        "image_ids": [record["image_id"]],
        "modality": record["modality"],
        "severity": worst(made.findings),
        "findings": [vars(finding) for finding in made.findings],
        "verdict": verdict_of(made.findings),
        "subject_id": record["subject_id"],
        "scene_id": made.scene_id,
        "origin": record["origin"],
    }


def perception_rows(made: Sequence[Made], kind: str, asked: Sequence[Question | None]) -> list[Row]:
    """Items of one question type, for records in order."""
    scopes = {d.label: d.scope for m in MODALITIES for d in for_modality(m)}
    return [
        {
            "item_id": f"{one.record['image_id']}-{kind}",
            "task": "perception",
            "question": about.text,
            "options": list(about.options),
            "answer": about.answer,
            "question_type": kind,
            "attribute": about.attribute,
            "scope": scopes.get(about.attribute, "general"),
            "reference": describe(one.record["modality"], one.findings, one.anatomy),
            **shared_columns(one),
        }
        for one, about in zip(made, asked, strict=True)
        if about is not None
    ]


def description_row(made: Made, rng: np.random.Generator) -> Row:
    """The description item of a record; `rng` draws the phrasing of its reference."""
    return {
        "item_id": f"{made.record['image_id']}-description",
        "task": "description",
        "question": DESCRIBE,
        "options": [],
        "answer": "",
        "question_type": "",
        "attribute": answer("what", made.findings),
        "scope": "general",
        "reference": describe(made.record["modality"], made.findings, made.anatomy, rng),
        **shared_columns(made),
    }


def defects(findings: Sequence[Finding]) -> tuple[int, int]:
    """How bad an image is, to rank two: by verdict, then by the number of faults."""
    return VERDICTS.index(verdict_of(findings)), len(findings)


def comparison_row(better: Made, worse: Made, better_first: bool) -> Row:
    """The comparison item of two records of one scene.

    Coarse-grained: one is good and the other to be rejected; fine-grained: they are closer.
    """
    first, second = (better, worse) if better_first else (worse, better)
    apart = defects(worse.findings)[0] - defects(better.findings)[0]
    ids = [first.record["image_id"], second.record["image_id"]]
    answered = FIRST if better_first else SECOND
    modality, anatomy = worse.record["modality"], worse.anatomy
    return {
        **shared_columns(worse),
        "item_id": f"{ids[0]}-{ids[1]}-comparison",
        "task": "comparison",
        "image_ids": ids,
        "question": COMPARE,
        "options": [],
        "answer": answered,
        "question_type": "coarse-grained" if apart == 2 else "fine-grained",
        "attribute": answer("what", worse.findings),
        "scope": "general",
        "reference": compare(modality, first.findings, second.findings, anatomy, answered),
    }


def ranked_pairs(made: Sequence[Made]) -> Iterator[tuple[Made, Made]]:
    """Records of one scene two by two, the better one first; without pairs that rank the same."""
    waiting: dict[str, Made] = {}
    for one in made:
        other = waiting.pop(one.scene_id, None)
        if other is None:
            waiting[one.scene_id] = one
        elif defects(other.findings) != defects(one.findings):
            better, worse = sorted((other, one), key=lambda record: defects(record.findings))
            yield better, worse


def items_of(made: Sequence[Made], split: str, seed: int) -> list[Row]:
    """All items of a split: perception of every record, some descriptions, pairs of one scene.

    Args:
        made: The records of the split with their truth.
        split: Part of every seed.
        seed: Seed of the benchmark.

    Returns:
        Rows of schema ITEM, by modality and task.
    """
    rows: list[Row] = []
    for modality in MODALITIES:
        here = [one for one in made if one.record["modality"] == modality]
        rng = seeded("items", seed, split, modality)
        rows += perception_rows(here, "yes-no", yes_no_questions(modality, here, rng))
        rows += perception_rows(here, "what", what_questions(modality, here, rng))
        rows += perception_rows(here, "how", how_questions(modality, here, rng))
        rows += [description_row(one, rng) for one in here[::DESCRIBED]]
        # The better one comes first in every second pair: to say always "first" gains nothing.
        pairs = enumerate(ranked_pairs(here))
        rows += [comparison_row(*pair, better_first=number % 2 == 0) for number, pair in pairs]
    return rows


def coverage(items: pl.DataFrame, names: Mapping[Modality, Sequence[str]]) -> dict[str, object]:
    """How a split covers the cells (degradation, severity, modality), compound images left out.

    Args:
        items: Schema ITEM.
        names: Degradations that the benchmark has, by modality.

    Returns:
        `items` by task, images by `origin`, number of `cells`, `fewest` images in one, and those
        that are `missing`.
    """
    images = (
        items.filter(pl.col("task") == "perception")
        .with_columns(image_id=pl.col("image_ids").list.first())
        .unique("image_id")
    )
    shown = Counter(
        (modality, findings[0]["label"], findings[0]["severity"])
        for modality, findings in images.select("modality", "findings").iter_rows()
        if len(findings) == 1
    )
    cells = [
        (modality, DEGRADATIONS[name].label, severity)
        for modality, here in names.items()
        for name in here
        for severity in ("mild", "severe")
    ]
    return {
        "items": dict(sorted(items["task"].value_counts().iter_rows())),
        "images": dict(sorted(images["origin"].value_counts().iter_rows())),
        "cells": len(cells),
        "fewest": min(shown[cell] for cell in cells),
        # Text: a list in a metric file, an empty one too, is something that DVC tries to plot.
        "missing": "; ".join(", ".join(cell) for cell in cells if not shown[cell]),
    }
