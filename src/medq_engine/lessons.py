"""From labels to training turns: what one answer, or one whole reading, teaches."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from PIL import Image

from medq_engine.degradations import DEGRADATIONS
from medq_engine.descriptions import findings_in, turns
from medq_engine.language import (
    NO_DEGRADATION,
    SEVERITY_OPTIONS,
    Finding,
    Sample,
    Turn,
    pick_options,
    quality_question,
    question,
)
from medq_engine.simulation import augment, from_png, seeded
from medq_engine.tables import Images

NOTHING_SEEN = (NO_DEGRADATION, SEVERITY_OPTIONS[0])
"""Answers after which an image has no fault at all: all that a reading of it teaches is known."""
FAULTS = frozenset(degradation.label for degradation in DEGRADATIONS.values())


@dataclass(frozen=True)
class Lesson:
    """A labelled image to train on.

    Attributes:
        fault: What it is taught for (`fault_of`).
        source: Modality and where the image comes from.
        views: The image and views of it, with all that is taught about them.
    """

    fault: str
    source: tuple[str, str]
    views: list[Sample]


Lessons = list[Lesson]


def turns_of(label: Mapping[str, object], rng: np.random.Generator) -> tuple[Turn, ...]:
    """Training turns of one accepted label (schema LABEL).

    A reading with a description teaches every question type and the description itself; a bare
    answer teaches its own question and what follows from it without doubt, and the verdict where
    it has one.
    """
    modality, verdict = label["modality"], label["verdict"]
    if label["description"]:
        return turns(modality, findings_in(label["description"], modality), rng)
    if label["answer"] in NOTHING_SEEN:
        return turns(modality, (), rng)
    quality = (Turn(*quality_question(modality), verdict.capitalize()),) if verdict else ()
    return (*answer_turns(label, rng), *quality)


def answer_turns(label: Mapping[str, object], rng: np.random.Generator) -> tuple[Turn, ...]:
    """What a bare answer that names or denies a fault teaches of its own question."""
    modality, given = label["modality"], label["answer"]
    if label["question_type"] == "what":
        # The options need only know which fault it is: its severity is not asked.
        options = pick_options(modality, (Finding(given, "mild"),), rng)
        own = Turn(question("what", modality)[0], options, given)
        return own, Turn(*question("yes-no", modality, given), "Yes")
    return (Turn(*question(label["question_type"], modality, label["attribute"]), given),)


def training_rows(labels: pl.DataFrame, pool: Images, seed: int) -> list[dict[str, object]]:
    """Accepted labels as rows of schema TRAINING; the choice of distractors is seeded by task."""
    rows = []
    for label in labels.iter_rows(named=True):
        taught = turns_of(label, seeded("lesson", seed, label["task_id"]))
        rows.append(
            {
                "image_id": label["image_id"],
                "modality": label["modality"],
                "source": pool.source[label["image_id"]],
                "image": pool.struct(label["image_id"]),
                "turns": [{**vars(turn), "options": list(turn.options)} for turn in taught],
                "route": label["route"],
            }
        )
    return rows


def views_of(row: Mapping[str, object], views: int, seed: int) -> list[Image.Image]:
    """The image of a row (schema TRAINING), and shifted, mirrored and turned views of it.

    Quality has no upright. Few subjects stand behind a round's labels, and a scene that is never
    seen twice the same way is harder to learn by heart.
    """
    image = from_png(row["image"]["bytes"])
    pixels = np.asarray(image)
    made = [image]
    for number in range(1, views):
        rng = seeded("view", seed, row["image_id"], number)
        shifted = augment(pixels, row["modality"], rng)
        turned = np.rot90(shifted, k=int(rng.integers(4)))
        flipped = turned[::-1] if rng.random() < 0.5 else turned
        made.append(Image.fromarray(np.ascontiguousarray(flipped)))
    return made


def samples_of(rows: pl.DataFrame, weight: float, views: int, seed: int) -> list[list[Sample]]:
    """For each row of schema TRAINING its views as samples, all with one weight."""
    found = []
    for row in rows.iter_rows(named=True):
        taught = tuple(Turn(t["question"], tuple(t["options"]), t["answer"]) for t in row["turns"])
        found.append([Sample(image, taught, weight) for image in views_of(row, views, seed)])
    return found


def dealt(groups: Sequence[Sequence[Sample]], count: int, rng: np.random.Generator) -> list[Sample]:
    """`count` samples from images with several views each: all images in turn, each time anew.

    The images come in a drawn order; the n-th time round each shows its n-th view.
    """
    order = rng.permutation(len(groups))
    turns = (divmod(position, len(groups)) for position in range(count))
    return [groups[order[i]][turn % len(groups[order[i]])] for turn, i in turns]


def mixture(
    labels: pl.DataFrame,
    replay: pl.DataFrame,
    count: int,
    *,
    replay_share: float,
    fine_share: float | None,
    route_weight: Mapping[str, float],
    views: int,
    seed: int,
) -> list[Sample]:
    """`count` samples of new labels and old lessons, each kind with its share.

    Labels are bought where the model fails, so few of them are of fine images, and a model that is
    taught with them as they come sees faults everywhere: images without a fault have a share of
    their own, however few they are. Among the others every fault has the same share (class-balanced
    sampling), or what is rare drowns in what everybody knows. Every source has the part in the fine
    images that it has in the faulty ones: where it comes from must not tell what an image shows.
    Where one kind is missing, the other has all.

    Args:
        labels: Schema TRAINING. Labels of a route with weight 0 are kept as data, not trained on.
        replay: Schema TRAINING, what the base was taught with.
        count: Samples in all; the same image may be among them many times.
        replay_share: Share of `replay` in all samples.
        fine_share: Share of the new samples whose image shows no fault; None takes every label as
            often, whatever it shows.
        route_weight: Trust in the labels of each route, the weight of their loss.
        views: Different views of each image.
        seed: Of views and order.

    Returns:
        Samples, an empty list if no label is to be trained on.
    """
    taught = lessons_of(labels, route_weight, views, seed)
    if not taught:
        return []
    old = round(replay_share * count) if len(replay) else 0
    if fine_share is None:
        kinds = [(taught, count - old)]
    else:
        fine, faulty = by_source_and_by_fault(taught)
        good = round((fine_share if faulty else 1.0) * (count - old)) if fine else 0
        kinds = [
            *zip(faulty, split([1.0] * len(faulty), count - old - good), strict=True),
            *zip(fine, split(parts_of(fine, faulty), good), strict=True),
        ]
    groups = [([lesson.views for lesson in lessons], size) for lessons, size in kinds]
    groups.append((samples_of(replay, 1.0, 1, seed) if old else [], old))
    rng = seeded("mixture", seed)
    return [one for images, size in groups if size for one in dealt(images, size, rng)]


def lessons_of(
    labels: pl.DataFrame, route_weight: Mapping[str, float], views: int, seed: int
) -> list[Lesson]:
    """What the labels (schema TRAINING) of the routes that are trusted teach."""
    found = []
    for route, weight in sorted(route_weight.items()):
        rows = labels.filter(pl.col("route") == route) if weight else labels.clear()
        sources = rows.select("modality", "source").iter_rows()
        for source, images in zip(sources, samples_of(rows, weight, views, seed), strict=True):
            found.append(Lesson(fault_of(images[0]), source, images))
    return found


def by_source_and_by_fault(taught: Sequence[Lesson]) -> tuple[list[Lessons], list[Lessons]]:
    """Lessons on images without a fault by their source, and the others by their fault."""
    fine, faulty = {}, {}
    for lesson in taught:
        if lesson.fault == NO_DEGRADATION:
            fine.setdefault(lesson.source, []).append(lesson)
        else:
            faulty.setdefault(lesson.fault, []).append(lesson)
    return list(fine.values()), list(faulty.values())


def parts_of(fine: Sequence[Lessons], faulty: Sequence[Lessons]) -> list[float]:
    """Of each source, its part in the lessons on fine images.

    As in the faulty ones, where every fault counts alike; a source without a faulty image has the
    part that it has in the fine ones.
    """
    bad: Counter[tuple[str, str]] = Counter()
    for lessons in faulty:
        for lesson in lessons:
            bad[lesson.source] += 1 / len(lessons)
    mixed = [group for group in fine if bad[group[0].source]]
    images, weight = sum(map(len, mixed)), sum(bad[group[0].source] for group in mixed)
    return [
        images * bad[group[0].source] / weight if bad[group[0].source] else len(group)
        for group in fine
    ]


def split(parts: Sequence[float], count: int) -> list[int]:
    """`count` divided by `parts`, in whole numbers that sum to it."""
    ends = np.rint(count * np.cumsum(parts) / sum(parts)) if parts else np.zeros(0)
    return np.diff(ends.astype(int), prepend=0).tolist()


def steps_for(labels: int, steps: int, at: int) -> int:
    """Optimiser steps for so many labels: `steps` at `at` labels, by their square root.

    With steps that stay the same, later rounds gain nothing; with as many passes over every label,
    a round takes longer than the one before by all that was labelled (docs/acquisition.md).
    """
    return max(1, round(steps * math.sqrt(labels / at)))


def fault_of(sample: Sample) -> str:
    """The fault that a sample is about, as far as its turns name it.

    `NO_DEGRADATION` if there is none; what a bare yes affirms stands for the fault, and everything
    else is "unnamed".
    """
    answers = [turn.answer for turn in sample.turns]
    if set(answers) & {*NOTHING_SEEN}:
        return NO_DEGRADATION
    named = [given for given in answers if given in FAULTS]
    affirmed = [turn.question for turn in sample.turns if turn.answer == "Yes"]
    return [*named, *affirmed, "unnamed"][0]
