"""Reading what people answered: strict about the contract, exact about where a line breaks it.

An annotation file answers one batch, which it names by fingerprint. Everything that is wrong is
collected with file and line before anything is refused, so that one reading mends it all.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medq_engine.descriptions import denies, describe, findings_in, verdict_in
from medq_engine.errors import MedqError
from medq_engine.language import NO_DEGRADATION, verdict_of, worst

FIELDS: dict[str, type | tuple[type, ...]] = {
    "task_id": str,
    "image_id": str,
    "question": str,
    "answer": str,
    "description": str,
    "route": str,
    "annotator": str,
    "seconds": (int, float),
    "round": int,
    "batch": str,
    "note": str,
}


class AnnotationError(MedqError):
    """The annotation file breaks its contract; the message lists every fault with file and line."""


@dataclass
class Pending(MedqError):  # noqa: N818 - waiting for people is no error
    """Tasks that nobody has answered yet."""

    path: Path
    task_ids: tuple[str, ...]
    total: int

    def __str__(self) -> str:
        shown = ", ".join(self.task_ids[:5]) + (" ..." if len(self.task_ids) > 5 else "")
        return (
            f"waiting for people: {len(self.task_ids)} of {self.total} tasks have no answer in "
            f"{self.path}\n  pending: {shown}\n"
            "  Answer them (`medq simulate-expert` stands in for people in the embedded default), "
            "then run `dvc repro` again; nothing is lost."
        )


def read_lines(path: Path) -> list[tuple[int, dict[str, object]]]:
    """Every line of a JSONL file with its number.

    Raises:
        AnnotationError: A line is not a JSON object.
    """
    lines, faults = [], []
    # Not splitlines(): it also splits at characters that JSON text may hold.
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            faults.append(f"{path}:{number}: not JSON in UTF-8 (cut off?): {error}")
            continue
        if isinstance(row, dict):
            lines.append((number, row))
        else:
            faults.append(f"{path}:{number}: not a JSON object")
    _refuse(faults)
    return lines


def read_annotations(
    path: Path, tasks: Sequence[Mapping[str, object]], batch: str
) -> list[dict[str, object]]:
    """The answers to a batch, in the order of its tasks.

    Args:
        path: The annotation file; it may not exist yet.
        tasks: The batch's tasks.
        batch: The batch's fingerprint (`tables.fingerprint` of its file).

    Raises:
        AnnotationError: Lines that break the contract, answer another batch, or answer twice.
        Pending: Some task has no answer yet.
    """
    answered: dict[str, tuple[int, dict[str, object]]] = {}
    by_id = {str(task["task_id"]): task for task in tasks}
    faults: list[str] = []
    for number, row in read_lines(path) if path.exists() else []:
        fault = line_fault(row, by_id, batch)
        task_id = str(row.get("task_id"))
        if fault is None and task_id in answered:
            fault = f"task {task_id} is answered before, on line {answered[task_id][0]}"
        if fault is None:
            answered[task_id] = (number, row)
        else:
            faults.append(f"{path}:{number}: {fault}")
    _refuse(faults)
    missing = tuple(task_id for task_id in by_id if task_id not in answered)
    if missing:
        raise Pending(path, missing, len(by_id))
    return [answered[task_id][1] for task_id in by_id]


def line_fault(
    row: Mapping[str, object], by_id: Mapping[str, Mapping[str, object]], batch: str
) -> str | None:
    """What is wrong with one line, or None."""
    for field, kind in FIELDS.items():
        if field not in row:
            return f"field {field!r} is missing"
        if not isinstance(row[field], kind) or isinstance(row[field], bool):
            return f"field {field!r} is {row[field]!r}, not {getattr(kind, '__name__', 'a number')}"
    unknown = sorted(set(row) - set(FIELDS))
    if unknown:
        return f"unknown field {unknown[0]!r}"
    if row["batch"] != batch:
        return f"answers batch {row['batch']}, but this round's batch is {batch} (stale file?)"
    task = by_id.get(str(row["task_id"]))
    if task is None:
        return f"task {row['task_id']} is not in the batch"
    for field in ("image_id", "question", "round", "route"):
        if row[field] != task[field]:
            return f"field {field!r} differs from the batch's task {row['task_id']}"
    if row["answer"] not in task["options"]:
        return f"answer {row['answer']!r} is none of the options {list(task['options'])}"
    if not row["annotator"]:
        return "field 'annotator' is empty"
    if not 0 <= row["seconds"] < math.inf:
        return f"field 'seconds' is {row['seconds']}, not a time"
    return contradiction(row, task)


def contradiction(row: Mapping[str, object], task: Mapping[str, object]) -> str | None:
    """Where answer, findings and verdict of one reading exclude each other, or None."""
    text = str(row["description"])
    if not text:
        return None
    findings, verdict = findings_in(text, task["modality"]), verdict_in(text)
    if verdict is None or not (findings or denies(text)):
        return (
            "the description names no verdict, or neither a finding nor its absence; "
            f"write it like {describe(task['modality'], ())!r}, or leave it empty"
        )
    if findings and denies(text):
        return "the description names a finding and says that there is none"
    if verdict != verdict_of(findings):
        return f"verdict {verdict!r} contradicts the findings, which say {verdict_of(findings)!r}"
    seen = {finding.label for finding in findings}
    given, kind = row["answer"], task["question_type"]
    if kind == "yes-no" and (given == "Yes") != (task["attribute"] in seen):
        return f"answer {given!r} about {task['attribute']!r} contradicts the description"
    if kind == "what" and (given not in seen if seen else given != NO_DEGRADATION):
        return f"answer {given!r} contradicts the description"
    if kind == "how" and given != worst(findings).capitalize():
        return f"severity {given!r} contradicts the description"
    return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        more = f"\n... and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise AnnotationError(
            f"{len(faults)} faulty lines, nothing was imported:\n" + "\n".join(faults[:20]) + more
        )
