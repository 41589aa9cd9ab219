"""The contact sheet of a batch's answers: pictures beside what people said, suspects first."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from medq_engine.annotations import Reading
from medq_engine.batch_summary import reasons, said, simulated
from medq_engine.figures import drawing, nothing
from medq_engine.markdown import one_line
from medq_engine.readings import Task, by_task, waiting
from medq_engine.scrutiny import Suspect, suspects
from medq_engine.sheets import (
    GAP,
    HEADER,
    LINE,
    SIDE,
    TASK_COLUMNS,
    TASK_GAP,
    TASKS,
    Images,
    canvas,
    picture,
    shorten,
)

WIDTH = 27  # characters of a caption


def answer_sheet(
    tasks: Sequence[Task], readings: Sequence[Reading], images: Images, path: Path
) -> None:
    """At most 30 answered tasks: those to look at first are framed and say why.

    A task that waits for its second reader is left out, as in the summary.

    Args:
        tasks: The batch.
        readings: All of them, with their optional fields filled in.
        images: The batch's images by id.
    """
    hidden, given = set(waiting(tasks, readings).second), by_task(readings)
    marked = {suspect.task["task_id"]: suspect for suspect in suspects(tasks, readings)}
    plain = [
        task
        for task in sorted(tasks, key=lambda task: str(task["task_id"]))
        if task["task_id"] in given and task["task_id"] not in hidden | marked.keys()
    ]
    order = [suspect.task for suspect in marked.values()] + plain
    if not order:
        return nothing("no task is answered yet", path)
    shown = order[:TASKS]
    captions = [_caption(task, given[task["task_id"]], marked) for task in shown]
    step = SIDE + LINE * (max(caption.count("\n") for caption in captions) + 2) + GAP
    width = TASK_COLUMNS * (SIDE + TASK_GAP) + GAP
    height = HEADER + -(-len(shown) // TASK_COLUMNS) * step
    more = f"; {len(order) - len(shown)} more not shown" if len(order) > len(shown) else ""
    note = f"{len(marked)} to look at, framed, come first{more}"
    title = f"{len(order)} answered tasks" + (
        ", simulated readings among them" if simulated(readings) else ""
    )
    with warnings.catch_warnings(), drawing(path, width, height) as figure:
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        axes = canvas(figure, title, note)
        for number, (task, caption) in enumerate(zip(shown, captions, strict=True)):
            left = GAP + number % TASK_COLUMNS * (SIDE + TASK_GAP)
            top = HEADER + number // TASK_COLUMNS * step
            image = images[str(task["image_id"])]
            picture(axes, image, left, top, caption, framed=task["task_id"] in marked)


def _caption(task: Task, readings: Sequence[Reading], marked: Mapping[str, Suspect]) -> str:
    """Task, question, who said what (three at most), and what speaks against it."""
    lines = [
        (task["task_id"], 1),
        (task["question"], 3),
        *((f"{said(row)}: {row['annotator']}", 3) for row in readings[:3]),
    ]
    if task["task_id"] in marked:
        lines.append((f"! {reasons(marked[task['task_id']])}", 3))
    short = [shorten(one_line(text, 200), WIDTH, most) for text, most in lines]
    # A pair of dollars would be read as a formula.
    return "\n".join(short).replace("$", r"\$")
