"""From a row of MedQ-Bench's files to an item of the benchmark."""

import json
from dataclasses import dataclass

import polars as pl

from medq_engine.descriptions import COMPARE, DESCRIBE
from medq_engine.medqbench.files import LETTERS, OWN, UNKNOWN, Row, Task, fault_of_options, unguard
from medq_engine.medqbench.images import RowError
from medq_engine.medqbench.text import better_image, overall_verdict, question_type_of
from medq_engine.tables import ITEM
from medq_engine.vocabulary import Modality


@dataclass(frozen=True)
class Draft:
    """A row whose images are known; its modality may be open until all rows are read."""

    index: str
    row: Row
    task: Task
    image_ids: list[str]
    modality: Modality | None

    @property
    def own(self) -> bool:
        """True if the file is an export of ours: its texts are exact, spaces and all."""
        return OWN + "item_id" in self.row.fields

    def text(self, column: str) -> str:
        """What the row says in a column, empty if there is none."""
        said = unguard(self.row.fields.get(column, ""))
        return said if self.own else said.strip()


def item_of(draft: Draft, split: str) -> dict[str, object]:
    """A row of ITEM; what is not said is told from the texts, or empty.

    Raises:
        RowError: The row lacks what its task needs, or a column of ours is malformed.
    """
    task, first = draft.task, draft.image_ids[0]
    item = {"task": task.name, "image_ids": draft.image_ids, "modality": draft.modality}
    told = {
        "item_id": f"{UNKNOWN}-{split}-{task.name}-{draft.index}",
        "subject_id": first,
        "scene_id": first,
        "origin": UNKNOWN,
    }
    if task.name == "perception":
        item |= perception(draft)
        told["question_type"] = question_type_of(item["question"], item["options"])
    else:
        item |= reasoning(draft)
        if task.name == "comparison":
            told["answer"] = better_image(item["reference"])
        else:
            told["verdict"] = overall_verdict(item["reference"]) or ""
    for name in task.extras:
        dtype, field = ITEM[name], draft.row.fields.get(OWN + name)
        if field is None:
            item[name] = told.get(name, "" if dtype == pl.String else [])
        else:
            item[name] = unguard(field) if dtype == pl.String else _from_json(name, field, dtype)
    return item


def perception(draft: Draft) -> dict[str, object]:
    """Question, options and answer of a row; options without a text are dropped.

    Raises:
        RowError: There is no question, or the answer is the letter of no option.
    """
    question = draft.text("question")
    if not question.strip():
        raise RowError("no question")
    texts = {letter: draft.text(letter) for letter in LETTERS}
    options = {letter: text for letter, text in texts.items() if text.strip()}
    said = draft.text("answer").strip().upper()
    letter = dict(zip("0123", LETTERS, strict=True)).get(said, said)
    what = fault_of_options([*options.values()], options.get(letter, letter))
    if letter not in options or what:
        raise RowError(what or f"answer {said!r} is no option")
    return {"question": question, "options": [*options.values()], "answer": options[letter]}


def reasoning(draft: Draft) -> dict[str, object]:
    """Question and reference of a description or comparison.

    Raises:
        RowError: There is no description.
    """
    reference, question = draft.text("description"), draft.text("question")
    if not reference.strip():
        raise RowError("no description")
    asked = COMPARE if draft.task.name == "comparison" else DESCRIBE
    return {"question": question if draft.own else question or asked, "reference": reference}


def _from_json(name: str, field: str, dtype: pl.DataType) -> list[object]:
    """A value of a column that is no text, exactly as it was exported."""
    try:
        value = json.loads(field)
        sound = pl.Series([value], dtype=dtype).to_list() == [value]
    except (ValueError, TypeError, RecursionError, pl.exceptions.PolarsError):
        sound = False
    if not sound:
        raise RowError(f"{OWN}{name} is not a {dtype} in JSON")
    return value
