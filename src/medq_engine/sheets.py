"""Contact sheets of a round: the pictures behind prototypes, candidates and the batch."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from medq_engine.figures import (
    DPI,
    GREY,
    VERMILION,
    drawing,
    nothing,
)

Images = Mapping[str, Image.Image]

SIDE = 192 / DPI  # inches of a picture: two screen pixels for each of its 96, so that faults show
GAP = 0.12
LABEL = 2.6  # inches for what stands to the left of a row
LINE = 0.165  # of a caption
HEADER = 0.75
ROWS, COLUMNS = 12, 8
TASKS, TASK_COLUMNS, TASK_GAP = 30, 6, 3 * GAP


def canvas(figure: Figure, title: str, note: str) -> Axes:
    """The whole figure as one plane measured in inches from its top left corner, with a title."""
    width, height = figure.get_size_inches()
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.text(GAP, 0.3, title, fontsize=15, fontweight="bold", va="center")
    axes.text(GAP, 0.58, note, fontsize=11, va="center", color=GREY)
    return axes


def picture(
    axes: Axes, image: Image.Image, left: float, top: float, caption: str, framed: bool = False
) -> None:
    """One image at a place of the canvas (inches), with some lines of text below it."""
    right, bottom = left + SIDE, top + SIDE
    extent = (left, right, bottom, top)
    axes.imshow(np.asarray(image), extent=extent, interpolation="nearest", aspect="auto")
    if framed:
        axes.add_patch(Rectangle((left, top), SIDE, SIDE, fill=False, ec=VERMILION, lw=5))
    axes.text(left, bottom + 0.04, caption, fontsize=9.5, va="top", linespacing=1.15)


def shorten(text: str, width: int, lines: int) -> str:
    """Text wrapped to a width in characters, cut with an ellipsis after some lines."""
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder=" …"))


def row_sheet(
    rows: Sequence[tuple[str, Sequence[tuple[Image.Image, str]]]],
    title: str,
    note: str,
    path: Path,
    frame_first: bool = False,
) -> None:
    """A sheet of labelled rows of captioned pictures, the first of each row framed on demand."""
    breaks = max((text.count("\n") for _, pictures in rows for _, text in pictures), default=0)
    step = SIDE + LINE * (breaks + 2) + GAP
    width = LABEL + COLUMNS * (SIDE + GAP) + GAP
    with drawing(path, width, HEADER + len(rows) * step) as figure:
        axes = canvas(figure, title, note)
        for number, (label, pictures) in enumerate(rows):
            top = HEADER + number * step
            axes.text(GAP, top, label, fontsize=12, va="top", linespacing=1.35)
            for column, (image, caption) in enumerate(pictures):
                left = LABEL + column * (SIDE + GAP)
                picture(axes, image, left, top, caption, framed=frame_first and column == 0)


def by_mass(prototypes: pl.DataFrame) -> pl.DataFrame:
    """Prototypes with the largest first."""
    return prototypes.sort(["mass", "prototype_id"], descending=[True, False])


def leading(prototypes: pl.DataFrame) -> tuple[list[dict[str, object]], str]:
    """The prototypes that a sheet has room for, the largest first, and how many are left out."""
    more = max(0, len(prototypes) - ROWS)
    return by_mass(prototypes).head(ROWS).to_dicts(), f"; {more} more not shown" if more else ""


def mistake(failure: Mapping[str, object]) -> str:
    """The wrong answer given most often to a failed item, and the right one."""
    wrong = Counter(given for given in failure["answers"] if given != failure["answer"])
    said = min(wrong, key=lambda given: (-wrong[given], given))
    about = f" ({failure['attribute']})" if failure["question_type"] == "yes-no" else ""
    lines = f"said: {said}{about}", f"right: {failure['answer']}"
    return "\n".join(shorten(line, 24, 2) for line in lines)


def prototype_sheet(
    prototypes: pl.DataFrame, failures: pl.DataFrame, images: Images, path: Path
) -> None:
    """Failures by prototype: the medoid framed, then other members, each with the wrong answer.

    Args:
        prototypes: Schema PROTOTYPE.
        failures: Failed items with their predictions (schemas ITEM and PREDICTION joined).
        images: Benchmark images by id.
    """
    if prototypes.is_empty():
        return nothing("no failure, so no prototype", path)
    by_id = {failure["item_id"]: failure for failure in failures.iter_rows(named=True)}
    shown, more = leading(prototypes)
    rows = []
    for prototype in shown:
        medoid = prototype["anchor_item"]
        others = [member for member in prototype["members"] if member != medoid]
        here = [by_id[item_id] for item_id in [medoid, *others][:COLUMNS]]
        pictures = [(images[failure["image_ids"][0]], mistake(failure)) for failure in here]
        count = len(prototype["members"])
        label = (
            f"{shorten(prototype['name'], 24, 4)}\n{count} failure{'s' * (count != 1)}\n"
            f"capability error {prototype['capability_error']:.0%}"
        )
        rows.append((label, pictures))
    title = f"What the model gets wrong: {len(prototypes)} kinds of failure"
    note = f"largest first{more}; framed: the most typical failure; below: what the model said"
    row_sheet(rows, title, note, path, frame_first=True)


def candidate_sheet(
    prototypes: pl.DataFrame, candidates: pl.DataFrame, images: Images, path: Path
) -> None:
    """Pool images fetched for each prototype, nearest first, then usual ones, then random ones.

    Args:
        prototypes: Schema PROTOTYPE.
        candidates: Schema CANDIDATE.
        images: Pool images by id.
    """
    if candidates.is_empty():
        return nothing("no candidate was fetched", path)
    shown, more = leading(prototypes)
    rows = []
    for prototype in shown:
        fetched = candidates.filter(
            pl.col("arm") == "prototype", pl.col("prototype_id") == prototype["prototype_id"]
        ).sort(["cosine", "image_id"], descending=[True, False])
        pictures = [
            (images[row["image_id"]], f"cosine {row['cosine']:.3f}")
            for row in fetched.head(COLUMNS).iter_rows(named=True)
        ]
        label = f"{shorten(prototype['name'], 24, 4)}\n{len(fetched)} fetched"
        rows.append((label, pictures))
    arms = {arm: candidates.filter(pl.col("arm") == arm) for arm in ("usual", "control")}
    for arm, caption, how in (
        ("usual", "usual", "usual: as most images\nof the same sources look"),
        ("control", "random", "control: drawn at random"),
    ):
        ids = arms[arm]["image_id"]
        if len(ids) or arm == "control":
            pictures = [(images[image_id], caption) for image_id in ids.head(COLUMNS)]
            rows.append((f"{how}\n{len(ids)} images", pictures))
    like = len(candidates) - sum(map(len, arms.values()))
    title = f"What was fetched: {like} pool images like the failures"
    note = f"nearest first{more}; cosine 1 is the same image; last row: images drawn at random"
    row_sheet(rows, title, note, path)


def batch_sheet(batch: pl.DataFrame, images: Images, path: Path) -> None:
    """The tasks that wait for people. Audit and gold tasks show no answer: nobody is anchored.

    Args:
        batch: Schema TASK.
        images: Pool images by id.
    """
    if batch.is_empty():
        return nothing("no task waits for people", path)
    shown = batch.sort("task_id").head(TASKS).to_dicts()
    step = SIDE + 7 * LINE + GAP
    lines = -(-len(shown) // TASK_COLUMNS)
    width = TASK_COLUMNS * (SIDE + TASK_GAP) + GAP
    more = len(batch) - len(shown)
    with drawing(path, width, HEADER + lines * step) as figure:
        note = f"{more} more not shown" if more else "all are shown"
        axes = canvas(figure, f"{len(batch)} tasks wait for people", note)
        for number, task in enumerate(shown):
            answers = (
                "answers hidden:\njudge unaided"
                if task["audit"] or task["gold"]
                else f"model: {task['model_answer']}\ndraft: {task['draft']}"
            )
            caption = f"{task['task_id'][:13]}\n{shorten(task['question'], 26, 3)}\n{answers}"
            left = GAP + number % TASK_COLUMNS * (SIDE + TASK_GAP)
            top = HEADER + number // TASK_COLUMNS * step
            picture(axes, images[task["image_id"]], left, top, caption)
