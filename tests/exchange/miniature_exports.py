"""Files as Label Studio and spreadsheets write them, with all that they put in."""

import csv
import io
from collections.abc import Mapping, Sequence

from medq_engine.exchange.spreadsheet import guard

Row = Mapping[str, object]
TEXT_AREAS = ("description", "note", "reason")


def said_by(reading: Row) -> dict[str, str]:
    """What a person leaves in each control of the labelling config."""
    controls = {name: str(reading[name]) for name in ("answer", "verdict", "description", "note")}
    if reading["unjudged"]:
        controls |= {"cannot_judge": "cannot judge", "reason": str(reading["unjudged"])}
    return {name: text for name, text in controls.items() if text}


def results(said: Mapping[str, str]) -> list[dict[str, object]]:
    """`annotations[].result` as the labelling page serialises it."""
    return [
        {
            "value": {"text": [text]} if name in TEXT_AREAS else {"choices": [text]},
            "id": f"k3{number}Zq_{name[:3]}",
            "from_name": name,
            "to_name": "image",
            "type": "textarea" if name in TEXT_AREAS else "choices",
            "origin": "manual",
        }
        for number, (name, text) in enumerate(said.items())
    ]


def annotation(
    number: int, task: int, said: Mapping[str, str], user: object, **changes: object
) -> dict[str, object]:
    """An annotation with every field of an export of the 1.x versions."""
    return {
        "id": number,
        "completed_by": user,
        "result": results(said),
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-03-02T09:14:21.204518Z",
        "updated_at": "2026-03-02T09:15:40.918233Z",
        "draft_created_at": "2026-03-02T09:14:02.117340Z",
        "lead_time": 0.0,
        "prediction": {},
        "result_count": len(said),
        "unique_id": f"5f0c9a51-6a0e-4d0e-9c58-{number:012d}",
        "import_id": None,
        "last_action": None,
        "bulk_created": False,
        "task": task,
        "project": 3,
        "updated_by": 1,
        "parent_prediction": None,
        "parent_annotation": None,
        "last_created_by": None,
    } | changes


def exported_task(
    number: int, task: Mapping[str, object], annotations: Sequence[object]
) -> dict[str, object]:
    """A task of tasks.json with every field of an export of the 1.x versions."""
    return {
        "id": number,
        "annotations": list(annotations),
        "file_upload": "3c1f2ab0-tasks.json",
        "drafts": [],
        "predictions": [number * 10 + index for index, _ in enumerate(task["predictions"])],
        "data": dict(task["data"]),
        "meta": {},
        "created_at": "2026-03-01T16:00:12.551204Z",
        "updated_at": "2026-03-02T09:15:40.931377Z",
        "allow_skip": True,
        "inner_id": number,
        "total_annotations": len(annotations),
        "cancelled_annotations": 0,
        "total_predictions": len(task["predictions"]),
        "comment_count": 0,
        "unresolved_comment_count": 0,
        "last_comment_updated_at": None,
        "project": 3,
        "updated_by": 1,
        "comment_authors": [],
    }


def label_studio_export(tasks: Sequence[Row], readings: Sequence[Row]) -> list[dict[str, object]]:
    """All tasks of a project, answered as the readings say; whoever leaves one open skips it."""
    names = sorted({str(reading["annotator"]) for reading in readings})
    users = {
        name: {"id": 4 + number, "email": f"{number}@example.org", "first_name": name}
        | {"last_name": ""}
        for number, name in enumerate(names)
    }
    made = []
    for number, task in enumerate(tasks, start=101):
        here = [row for row in readings if row["task_id"] == task["data"]["task_id"]]
        given = [
            annotation(
                number * 10 + index,
                number,
                said_by(row),
                users[str(row["annotator"])],
                lead_time=row["seconds"],
            )
            for index, row in enumerate(here)
        ]
        skipped = annotation(number * 10 + 9, number, {}, users[names[0]], was_cancelled=True)
        made.append(exported_task(number, task, given or [skipped]))
    return made


def flat(tasks: Sequence[Row]) -> list[dict[str, object]]:
    """The same export as JSON-MIN: an object for each annotation that was not skipped."""

    def short(value: Row) -> object:
        (texts,) = value.values()
        return texts[0] if len(texts) == 1 else value

    return [
        {
            **task["data"],
            "id": task["id"],
            **{result["from_name"]: short(result["value"]) for result in given["result"]},
            "annotator": given["completed_by"]["email"],
            "annotation_id": given["id"],
            "created_at": given["created_at"],
            "updated_at": given["updated_at"],
            "lead_time": given["lead_time"],
        }
        for task in tasks
        for given in task["annotations"]
        if not given["was_cancelled"]
    ]


def filled(table: bytes, readings: Sequence[Row]) -> list[dict[str, str]]:
    """Rows of an exported table as people fill them in; a second reader copies the row."""
    rows = []
    for row in csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline="")):
        here = [reading for reading in readings if reading["task_id"] == row["task_id"]]
        for reading in here or [{}]:
            texts = {"cannot_judge": str(reading.get("unjudged", ""))}
            for name in ("answer", "verdict", "description", "note", "annotator", "seconds"):
                texts[name] = str(reading.get(name, ""))
            rows.append(row | {name: guard(text) for name, text in texts.items()})
    return rows


def saved(
    rows: Sequence[Mapping[str, str]], delimiter: str = ",", columns: Sequence[str] = ()
) -> bytes:
    """Rows as a spreadsheet saves them."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns or list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8-sig")
