"""From labels to training turns: what one answer, or one whole reading, teaches."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from PIL import Image

from medq_engine.descriptions import findings_in, turns
from medq_engine.language import (
    NO_DEGRADATION,
    Finding,
    Sample,
    Turn,
    labels,
    pick_options,
    quality_question,
    question,
)
from medq_engine.simulation import augment, from_png, seeded
from medq_engine.tables import Images


def turns_of(label: Mapping[str, object], rng: np.random.Generator) -> tuple[Turn, ...]:
    """Training turns of one accepted label (schema LABEL).

    A reading with a description teaches every question type and the description itself; a bare
    answer teaches its own question and what follows from it without doubt, and the verdict where
    it has one.
    """
    modality, verdict = label["modality"], label["verdict"]
    if label["description"]:
        return turns(modality, findings_in(label["description"], modality), rng)
    quality = (Turn(*quality_question(modality), verdict.capitalize()),) if verdict else ()
    return (*answer_turns(label, rng), *quality)


def answer_turns(label: Mapping[str, object], rng: np.random.Generator) -> tuple[Turn, ...]:
    """What a bare answer teaches of its own question."""
    modality, given = label["modality"], label["answer"]
    if label["question_type"] == "what":
        text, _ = question("what", modality)
        # The options need only know which fault it is: its severity is not asked.
        seen = () if given == NO_DEGRADATION else (Finding(given, "mild"),)
        own = Turn(text, pick_options(modality, seen, rng), given)
        asked = str(rng.choice(labels(modality))) if not seen else given
        answer = "Yes" if seen else "No"
        return own, Turn(*question("yes-no", modality, asked), answer)
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
    """The image of a row (schema TRAINING), and mirrored and shifted views of it."""
    image = from_png(row["image"]["bytes"])
    pixels = np.asarray(image)
    rngs = (seeded("view", seed, row["image_id"], number) for number in range(1, views))
    return [image, *(Image.fromarray(augment(pixels, row["modality"], rng)) for rng in rngs)]


def samples_of(
    rows: pl.DataFrame, route_weight: Mapping[str, float], views: int, seed: int
) -> list[Sample]:
    """Rows of schema TRAINING as samples; a route's weight is the trust in its labels.

    Labels of a route with weight 0 are kept as data and not trained on.
    """
    samples = []
    for row in rows.iter_rows(named=True):
        weight = route_weight[row["route"]]
        if not weight:
            continue
        taught = tuple(Turn(t["question"], tuple(t["options"]), t["answer"]) for t in row["turns"])
        samples += [Sample(image, taught, weight) for image in views_of(row, views, seed)]
    return samples


def mixture(
    labels: pl.DataFrame,
    replay: pl.DataFrame,
    replay_share: float,
    route_weight: Mapping[str, float],
    views: int,
    seed: int,
) -> list[Sample]:
    """New labels and old lessons, so that `replay_share` of the samples are old.

    Replay is drawn without repetition until it is used up; where new labels are many, its share
    falls.
    """
    new = samples_of(labels, route_weight, views, seed)
    wanted = round(len(new) * replay_share / (1 - replay_share))
    drawn = seeded("replay", seed).permutation(len(replay))[:wanted]
    return new + samples_of(replay[sorted(drawn.tolist())], {"expert": 1.0}, 1, seed)
