"""What speaks for an answer to a task: what model and draft say to it, and to other questions.

Answers to different questions about one image are compared by the findings that they imply, not by
their words: "no degradation" and "Severe" cannot both be right, "metal streak" and "Mild" can. So
model and draft annotator are asked, beside a task's own question, which fault there is and how
severe it is. What all of this is worth is not assumed but measured on dev (`trust`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from medq_engine.language import NO_DEGRADATION, Finding, answer, question
from medq_engine.questions import Scored
from medq_engine.vocabulary import QuestionType

Task = Mapping[str, object]
Asked = tuple[str, str]  # image id and question

# What else is asked about the image of a task, by the task's own question.
WITNESSES: dict[QuestionType, tuple[QuestionType, ...]] = {
    "yes-no": ("what", "how"),
    "what": ("how",),
    "how": ("what",),
}
NOTHING = (NO_DEGRADATION, "None", "No")  # answers that deny the fault
FLOOR = 0.001  # of a probability, before its logarithm is taken


@dataclass(frozen=True)
class Said:
    """What the model and the draft annotator say, by image id and question.

    A draft that is missing or empty could not be read.
    """

    scored: Mapping[Asked, Scored]
    drafts: Mapping[Asked, str]


@dataclass(frozen=True)
class Evidence:
    """What speaks for every option of tasks of one question type.

    Attributes:
        options: Of each task.
        groups: Tasks of a group share biases and prevalences: the modality; of yes-no questions,
            which are about another fault each, all are one group.
        features: Shape (tasks, most options, features), 0 where a task has fewer options.
        there: Whether the option exists, shape (tasks, most options).
        own: Position of the model's answer, shape (tasks,).
        draft: Position of the draft's, -1 where it could not be read, shape (tasks,).
    """

    options: tuple[tuple[str, ...], ...]
    groups: tuple[str, ...]
    features: np.ndarray
    there: np.ndarray
    own: np.ndarray
    draft: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> "Evidence":
        return Evidence(
            tuple(self.options[i] for i in rows),
            tuple(self.groups[i] for i in rows),
            self.features[rows],
            self.there[rows],
            self.own[rows],
            self.draft[rows],
        )


def questions_about(task: Task) -> list[dict[str, object]]:
    """A task's own question, then those of its witnesses, each with its options."""
    names = ("image_id", "modality", "question_type", "attribute", "question", "options")
    found = [{name: task[name] for name in names}]
    for kind in WITNESSES[task["question_type"]]:
        text, options = question(kind, task["modality"])
        row = {"question_type": kind, "attribute": "", "question": text, "options": list(options)}
        found.append(found[0] | row)
    return found


def to_ask(tasks: Sequence[Task]) -> list[dict[str, object]]:
    """Everything that model and draft annotator are asked about tasks, each question once."""
    return list(
        {
            (row["image_id"], row["question"]): row
            for task in tasks
            for row in questions_about(task)
        }.values()
    )


def known_tasks(items: pl.DataFrame, kinds: set[str]) -> list[dict[str, object]]:
    """Questions of dev as a batch asks them, with the right answer (`truth`) and the scene.

    Args:
        items: Schema ITEM, of dev. A what-item offers four options, a task all faults of the
            modality, so what a model says to the item is no measure of what it says to the task.
        kinds: The question types that are wanted.
    """
    found = []
    for item in items.filter(
        pl.col("task") == "perception", pl.col("question_type").is_in(sorted(kinds))
    ).iter_rows(named=True):
        kind, modality = item["question_type"], item["modality"]
        attribute = item["attribute"] if kind == "yes-no" else ""
        text, options = question(kind, modality, attribute)
        findings = [Finding(**finding) for finding in item["findings"]]
        found.append(
            {
                "image_id": item["image_ids"][0],
                "modality": modality,
                "question_type": kind,
                "attribute": attribute,
                "question": text,
                "options": list(options),
                "truth": answer(kind, findings, attribute),
                "scene_id": item["scene_id"],
            }
        )
    return found


def evidence_of(tasks: Sequence[Task], said: Said) -> Evidence:
    """What is said of tasks of one question type, at least one."""
    rows = [_features(task, said) for task in tasks]
    width = max(len(row) for row in rows)
    features = np.zeros((len(rows), width, rows[0].shape[1]))
    there = np.zeros((len(rows), width), dtype=bool)
    for n, row in enumerate(rows):
        features[n, : len(row)], there[n, : len(row)] = row, True
    pooled = tasks[0]["question_type"] == "yes-no"
    return Evidence(
        options=tuple(tuple(task["options"]) for task in tasks),
        groups=tuple("" if pooled else str(task["modality"]) for task in tasks),
        features=features,
        there=there,
        own=np.array([_own(task, said) for task in tasks]),
        draft=np.array([_drafted(task, said) for task in tasks]),
    )


def _own(row: Task, said: Said) -> int:
    return int(said.scored[row["image_id"], row["question"]].probabilities.argmax())


def _drafted(row: Task, said: Said) -> int:
    given = said.drafts.get((row["image_id"], row["question"]), "")
    return list(row["options"]).index(given) if given else -1


def _features(task: Task, said: Said) -> np.ndarray:
    """What speaks for each option, shape (options, features).

    Six of the task's own question: the model's log-probability; whether it is the draft's answer,
    the model's, the answer of both, a denial, the model's denial. Then two of each witness: how far
    the option goes with what the model says there (log), and with what the draft says.
    """
    own, *others = questions_about(task)
    each = np.eye(len(task["options"]))
    chosen, drafted = _own(task, said), _drafted(task, said)
    denial = each[[option in NOTHING for option in task["options"]].index(True)]
    said_by_draft = each[drafted] if drafted >= 0 else np.zeros(len(each))
    columns = [
        _log(said.scored[own["image_id"], own["question"]].probabilities),
        said_by_draft,
        each[chosen],
        each[chosen] * said_by_draft,
        denial,
        each[chosen] * denial,
    ]
    for other in others:
        fits = fitting(task, other)
        there = _drafted(other, said)
        columns += [
            _log(fits @ said.scored[other["image_id"], other["question"]].probabilities),
            fits[:, there] if there >= 0 else np.zeros(len(each)),
        ]
    return np.stack(columns, axis=1)


def fitting(task: Task, other: Task) -> np.ndarray:
    """1 where an answer to a task and one to another question of its image may both be right.

    Returns:
        Shape (options of the task, options of the other question). A yes-no question is taken to be
        about the fault that is most visible: images with several are few.
    """
    denied = np.array([[option in NOTHING] for option in task["options"]])
    others = list(other["options"])
    if task["question_type"] != "yes-no":
        return (denied == [[option in NOTHING for option in others]]).astype(float)
    if other["question_type"] == "what":
        return (denied != [[option == task["attribute"] for option in others]]).astype(float)
    return (denied | [[option not in NOTHING for option in others]]).astype(float)


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, FLOOR))
