"""From labels to training turns: what one answer, or one whole reading, teaches."""

import math
from collections.abc import Mapping, Sequence

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
    sampling), or what is rare drowns in what everybody knows. Where one kind is missing, the other
    has all.

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
    trusted = [
        images
        for route, weight in sorted(route_weight.items())
        if weight
        for images in samples_of(labels.filter(pl.col("route") == route), weight, views, seed)
    ]
    if not trusted:
        return []
    by_fault: dict[str, list[Sequence[Sample]]] = {}
    for images in trusted:
        fault = fault_of(images[0]) if fine_share is not None else "any"
        by_fault.setdefault(fault, []).append(images)
    fine = by_fault.pop(NO_DEGRADATION, [])
    old = round(replay_share * count) if len(replay) else 0
    good = round((fine_share if by_fault else 1.0) * (count - old)) if fine else 0
    bad = count - old - good
    sizes = [bad // len(by_fault) + (n < bad % len(by_fault)) for n in range(len(by_fault))]
    kinds = [*zip(by_fault.values(), sizes, strict=True), (fine, good)]
    kinds.append((samples_of(replay, 1.0, 1, seed) if old else [], old))
    rng = seeded("mixture", seed)
    return [one for groups, size in kinds if size for one in dealt(groups, size, rng)]


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
