"""What people answered: strict about the contract, exact about where a line breaks it.

An annotation file answers one batch, which it names by fingerprint. A line is a *reading*: what one
annotator says of one task. A task that several people read has several lines. Everything that is
wrong is collected with file and line before anything is refused, so that one look mends it all.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from medq_engine.descriptions import denies, describe, findings_in, verdict_in
from medq_engine.errors import MedqError
from medq_engine.language import NO_DEGRADATION, verdict_of, worst
from medq_engine.tables import canonical, replace
from medq_engine.vocabulary import VERDICTS

Reading = dict[str, object]
SIMULATED = "(simulated)"  # in the name of every simulated annotator, and in no person's

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


# Written only where they say something: a verdict without a description, why a task cannot be
# judged, that a blind task's hints were opened first, that the line settles a disagreement.
OPTIONAL: dict[str, object] = {
    "verdict": "",
    "unjudged": "",
    "unblinded": False,
    "adjudicates": False,
}


class AnnotationError(MedqError):
    """The annotation file breaks its contract; the message lists every fault with file and line."""


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


def key(row: Mapping[str, object]) -> tuple[str, str, bool]:
    """What there is one reading of: task, annotator, and whether it settles a disagreement."""
    return str(row["task_id"]), str(row["annotator"]), bool(row.get("adjudicates", False))


def read_readings(path: Path, tasks: Sequence[Mapping[str, object]], batch: str) -> list[Reading]:
    """Every reading of a batch, in the order of the file; optional fields are filled in.

    A line that stands there twice, letter by letter, counts once: merging two branches may do that.

    Args:
        path: The annotation file; it may not exist yet.
        tasks: The batch's tasks.
        batch: The batch's fingerprint (`tables.fingerprint` of its file).

    Raises:
        AnnotationError: Lines that break the contract, answer another batch, or answer twice.
    """
    by_id = {str(task["task_id"]): task for task in tasks}
    readings: dict[tuple[str, str, bool], tuple[int, Reading]] = {}
    faults: list[str] = []
    for number, row in read_lines(path) if path.exists() else []:
        fault = line_fault(row, by_id, batch)
        if fault is None:
            full = OPTIONAL | row
            first, before = readings.setdefault(key(full), (number, full))
            if before != full:
                fault = (
                    f"{row['annotator']} answers task {row['task_id']} on line {first} already, "
                    "and otherwise: keep one of the two"
                )
        if fault is not None:
            faults.append(f"{path}:{number}: {fault}")
    _refuse(faults)
    return [row for _, row in readings.values()]


def reading(
    task: Mapping[str, object],
    annotator: str,
    batch: str,
    answer: str = "",
    *,
    verdict: str = "",
    description: str = "",
    note: str = "",
    seconds: float = 0.0,
    unjudged: str = "",
    unblinded: bool = False,
    adjudicates: bool = False,
) -> Reading:
    """A reading of a task, with all its fields."""
    return {
        "task_id": task["task_id"],
        "image_id": task["image_id"],
        "question": task["question"],
        "route": task["route"],
        "round": task["round"],
        "batch": batch,
        "annotator": annotator,
        "answer": answer,
        "verdict": verdict,
        "description": description,
        "note": note,
        "seconds": seconds,
        "unjudged": unjudged,
        "unblinded": unblinded,
        "adjudicates": adjudicates,
    }


def lean(row: Mapping[str, object]) -> Reading:
    """A reading as it is written: optional fields that say nothing are left out."""
    return {name: value for name, value in row.items() if OPTIONAL.get(name, ...) != value}


def store(path: Path, readings: Sequence[Mapping[str, object]]) -> None:
    """Write an annotation file in canonical form, as a whole or not at all."""
    replace(path, canonical(map(lean, readings)))


def merge(
    readings: Sequence[Mapping[str, object]], new: Sequence[Mapping[str, object]]
) -> list[Reading]:
    """Readings with new ones, which replace what the same person said before of the same task."""
    return list({key(row): dict(row) for row in (*readings, *new)}.values())


def line_fault(
    row: Mapping[str, object], by_id: Mapping[str, Mapping[str, object]], batch: str
) -> str | None:
    """What is wrong with one line, or None."""
    kinds = FIELDS | {name: type(default) for name, default in OPTIONAL.items() if name in row}
    for field, kind in kinds.items():
        if field not in row:
            return f"field {field!r} is missing"
        if not isinstance(row[field], kind) or (isinstance(row[field], bool) and kind is not bool):
            return f"field {field!r} is {row[field]!r}, not {getattr(kind, '__name__', 'a number')}"
        if isinstance(row[field], str) and not encodable(row[field]):
            return f"field {field!r} holds half of a character (a lone surrogate)"
    unknown = sorted(set(row) - set(kinds))
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
    if not str(row["annotator"]).strip():
        return "field 'annotator' is empty"
    if not 0 <= row["seconds"] < 1e9:  # JSON can spell numbers that no float holds
        return f"field 'seconds' is {row['seconds']}, not a time"
    if row.get("unjudged"):
        said = [name for name in ("answer", "description", "verdict") if row.get(name)]
        return f"says that the task cannot be judged, but gives its {said[0]}" if said else None
    if row["answer"] not in task["options"]:
        return f"answer {row['answer']!r} is none of the options {list(task['options'])}"
    if row.get("verdict", "") not in ("", *VERDICTS):
        return f"verdict {row['verdict']!r} is none of {list(VERDICTS)}"
    return contradiction(row, task)


def verdict_said(row: Mapping[str, object]) -> str:
    """The verdict of a reading, its own or its description's; empty where it gives none."""
    return str(row["verdict"]) or verdict_in(str(row["description"])) or ""


def encodable(text: str) -> bool:
    """False for text that UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def contradiction(row: Mapping[str, object], task: Mapping[str, object]) -> str | None:
    """Where answer, findings and verdict of one reading exclude each other, or None."""
    verdict = str(row.get("verdict", ""))
    if verdict and (fault := verdict_contradiction(str(row["answer"]), verdict, task)):
        return fault
    text = str(row["description"])
    if not text:
        return None
    findings, described = findings_in(text, task["modality"]), verdict_in(text)
    if described is None or not (findings or denies(text)):
        return (
            "the description names no verdict, or neither a finding nor its absence; "
            f"write it like {describe(task['modality'], ())!r}, or leave it empty"
        )
    if findings and denies(text):
        return "the description names a finding and says that there is none"
    if described != verdict_of(findings):
        return f"verdict {described!r} contradicts the findings, which say {verdict_of(findings)!r}"
    if verdict and verdict != described:
        return f"verdict {verdict!r} contradicts the description, which says {described!r}"
    seen = {finding.label for finding in findings}
    given, kind = row["answer"], task["question_type"]
    if kind == "yes-no" and (given == "Yes") != (task["attribute"] in seen):
        return f"answer {given!r} about {task['attribute']!r} contradicts the description"
    if kind == "what" and (given not in seen if seen else given != NO_DEGRADATION):
        return f"answer {given!r} contradicts the description"
    if kind == "how" and given != worst(findings).capitalize():
        return f"severity {given!r} contradicts the description"
    return None


def verdict_contradiction(answer: str, verdict: str, task: Mapping[str, object]) -> str | None:
    """Where an answer and a verdict exclude each other (`language.verdict_of`), or None.

    "No" to one fault leaves room for others; "Mild" may be a reject, by several mild faults.
    """
    fine = answer == (NO_DEGRADATION if task["question_type"] == "what" else "None")
    if fine and verdict != "good":
        return f"answer {answer!r} contradicts verdict {verdict!r}: without a fault it is 'good'"
    if not fine and answer != "No" and verdict == "good":
        return f"answer {answer!r} contradicts verdict 'good': an image with a fault is not good"
    if answer == "Severe" and verdict != "reject":
        return f"answer 'Severe' contradicts verdict {verdict!r}: a severe fault is 'reject'"
    return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        more = f"\n... and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise AnnotationError(
            f"{len(faults)} faulty lines, nothing was imported:\n" + "\n".join(faults[:20]) + more
        )
