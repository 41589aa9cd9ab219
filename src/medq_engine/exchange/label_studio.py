"""A batch as a Label Studio project: tasks with predictions, labelling config, export read back.

The formats are Label Studio's own (labelstud.io/guide/task_format, /guide/predictions,
/guide/export, /tags/choices): what people answered stands in `annotations[].result[]`, an entry for
each control of the config. JSON-MIN has one flat object an annotation instead, in which the names
of the controls stand beside those of the task's data; so the two must never be the same.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from medq_engine.batches import Batch
from medq_engine.exchange.answers import DESCRIPTION, ExchangeError, Fault, Said, present
from medq_engine.vocabulary import VERDICTS

CANNOT_JUDGE = "cannot judge"
CONTROLS = ("answer", "verdict", "description", "note", "cannot_judge", "reason")
# A file below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, which Label Studio serves itself.
LOCAL_FILE = "/data/local-files/?d="

_VERDICT_CHOICES = "".join(f'<Choice value="{verdict}"/>' for verdict in VERDICTS)

CONFIG = f"""<View>
  <Header value="$question"/>
  <Image name="image" value="$image"
    zoom="true" zoomControl="true" brightnessControl="true" contrastControl="true"/>
  <Choices name="answer" toName="image" value="$options" choice="single"/>
  <Header value="Quality of the image as a whole (optional)" size="5"/>
  <Choices name="verdict" toName="image" choice="single" showInline="true">
    {_VERDICT_CHOICES}
  </Choices>
  <Header value="Description, with findings and verdict (optional; is learnt from)" size="5"/>
  <TextArea name="description" toName="image" rows="4" maxSubmissions="1" editable="true"
    placeholder="{DESCRIPTION}"/>
  <Header value="Note (optional; is not learnt from)" size="5"/>
  <TextArea name="note" toName="image" rows="2" maxSubmissions="1" editable="true"/>
  <Choices name="cannot_judge" toName="image" choice="single">
    <Choice value="{CANNOT_JUDGE}"/>
  </Choices>
  <View visibleWhen="choice-selected" whenTagName="cannot_judge" whenChoiceValue="{CANNOT_JUDGE}">
    <TextArea name="reason" toName="image" rows="2" maxSubmissions="1" editable="true"
      placeholder="Why it cannot be judged" required="true"/>
  </View>
</View>
"""

README = """# A batch for Label Studio

Start Label Studio in this folder:

    LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true \\
    LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT="$PWD" label-studio start

In a new project:

1. Settings, Labeling Interface, Code: paste `config.xml`.
2. Settings, Cloud Storage, Add Source Storage, Local Files: the path of the folder `images`. Save
   it without syncing: the tasks come from `tasks.json`, the storage lets their images be shown.
3. Import `tasks.json`.
4. When people have answered: Export, JSON or JSON-MIN, then `medq import-batch FILE`.

Annotators are called by first and last name, else by e-mail, else "Label Studio user N". Where one
person answered and the export has only a number, `--annotator NAME` names them. Seconds are Label
Studio's `lead_time`, which counts pauses, too. Tasks that were skipped stay open.
"""


@dataclass(frozen=True)
class User:
    """Who answered: what tells people apart, and a name; each is empty where the file has none."""

    identity: str
    name: str

    def __str__(self) -> str:
        return self.name or (f"Label Studio user {self.identity}" if self.identity else "")


@dataclass(frozen=True)
class Entry:
    """An annotation of either format: its task's data, and the texts given in each control."""

    where: str
    data: Mapping[str, object]
    user: User
    texts: Mapping[str, list[str]]
    seconds: float


def tasks_of(batch: Batch) -> list[dict[str, object]]:
    """Label Studio's tasks for a batch; blind ones come without any prediction."""
    return [
        {
            "data": {
                "task_id": task["task_id"],
                "batch": batch.fingerprint,
                "image": f"{LOCAL_FILE}images/{quote(str(task['image_id']))}.png",
                "modality": task["modality"],
                "question": task["question"],
                # The alias is what is exported: Label Studio puts the task's data in the place of
                # "$name" in a value.
                "options": [{"value": option, "alias": option} for option in task["options"]],
                "readers": task["readers"],
            },
            "predictions": [] if task["blind"] else _predictions(task),
        }
        for task in batch.tasks
    ]


def _predictions(task: Mapping[str, object]) -> list[dict[str, object]]:
    guesses = (
        ("model", task["model_answer"], {"score": task["model_probability"]}),
        ("draft", task["draft"], {}),
    )
    return [
        {
            "model_version": who,
            **score,
            "result": [
                {
                    "id": f"{task['task_id']}-{who}",
                    "from_name": "answer",
                    "to_name": "image",
                    "type": "choices",
                    "value": {"choices": [answer]},
                }
            ],
        }
        for who, answer, score in guesses
        if answer in task["options"]
    ]


def read_export(data: bytes, annotator: str | None = None) -> list[Said | Fault]:
    """What an export says (JSON or JSON-MIN), entry by entry.

    Args:
        data: The exported file.
        annotator: Name of the one person who answered, where the export has none.

    Raises:
        ExchangeError: It is no export, or it is not clear who answered.
    """
    try:
        exported = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ExchangeError(f"not JSON in UTF-8 (cut off?): {error}") from error
    tasks = exported if isinstance(exported, list) else [exported]
    found = [entry for number, task in enumerate(tasks, 1) for entry in _entries(number, task)]
    answering = {entry.user for entry in found if isinstance(entry, Entry) and entry.texts}
    names = _names(answering, annotator)
    return [entry if isinstance(entry, Fault) else _said(entry, names) for entry in found]


def _entries(number: int, task: object) -> Iterator[Entry | Fault]:
    """Annotations of an exported task; an empty one where there is none."""
    if not isinstance(task, dict):
        yield Fault(f"entry {number}", "is no task")
        return
    where = f"task {task.get('id', number)!r}"
    if "task_id" in task:  # JSON-MIN: the data's names stand at the top
        given = {name: task[name] for name in CONTROLS if name in task}
        where += f", annotation {task.get('annotation_id')!r}"
        yield _entry(where, task, task.get("annotator"), given, task.get("lead_time"))
        return
    data, annotations = task.get("data"), task.get("annotations", [])
    if not isinstance(data, dict) or "task_id" not in data or not isinstance(annotations, list):
        yield Fault(where, "is no task of a batch: export the tasks of tasks.json, as JSON")
        return
    if not annotations:
        yield _entry(where, data, None, {}, None)
    for annotation in annotations:
        if not isinstance(annotation, dict):
            yield Fault(where, "an annotation is no object: export annotations in full")
            continue
        here = f"{where}, annotation {annotation.get('id')!r}"
        try:
            given = {} if annotation.get("was_cancelled") else _results(annotation.get("result"))
        except ValueError as error:
            yield Fault(here, str(error))
            continue
        user, seconds = annotation.get("completed_by"), annotation.get("lead_time")
        yield _entry(here, data, user, given, seconds)


def _results(results: object) -> dict[str, list[object]]:
    """Values by control.

    Raises:
        ValueError: A result is none of the config's.
    """
    given: dict[str, list[object]] = {}
    for result in results or []:
        name = result.get("from_name") if isinstance(result, dict) else None
        if name not in CONTROLS:
            raise ValueError(f"control {name!r} is not in config.xml")
        given.setdefault(name, []).append(result.get("value"))
    return given


def _entry(
    where: str, data: Mapping[str, object], user: object, given: Mapping[str, object], time: object
) -> Entry | Fault:
    try:
        texts = {name: [*filter(present, _texts(value))] for name, value in given.items()}
        said = {name: values for name, values in texts.items() if values}
        return Entry(where, data, _user(user), said, _seconds(time))
    except (ValueError, OverflowError, RecursionError) as error:
        return Fault(where, str(error))


def _texts(value: object) -> list[str]:
    """The texts in a value of choices or text areas, of either format and of older versions."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    for kind in ("choices", "text", "textarea"):
        if isinstance(value, dict) and kind in value:
            return _texts(value[kind])
    raise ValueError(f"value {value!r} holds neither choices nor text")


def _user(value: object) -> User:
    """Who answered, from `completed_by` or `annotator`: a number, a text, an object or nothing."""
    if isinstance(value, dict):
        known = {name: str(part).strip() for name, part in value.items() if part is not None}
        name = f"{known.get('first_name', '')} {known.get('last_name', '')}".strip()
        name = name or known.get("email", "") or known.get("username", "")
        return User(known.get("id") or name, name)
    text = "" if value is None else str(value).strip()
    return User(text, "" if text.isdecimal() else text)


def _names(users: Collection[User], annotator: str | None) -> dict[User, str]:
    """The name that each user answers under.

    Raises:
        ExchangeError: A name is given for several people or for somebody who has one, or two people
            have the same.
    """
    if annotator:
        if len(users) > 1 or any(user.name for user in users):
            named = ", ".join(sorted(str(user) or "somebody without a name" for user in users))
            raise ExchangeError(f"says who answered ({named}): leave --annotator out")
        return dict.fromkeys(users, annotator)
    for name, count in Counter(map(str, users)).items():
        if count > 1:
            raise ExchangeError(f"{count} users are called {name!r}: rename one in Label Studio")
    return {user: str(user) for user in users}


def _seconds(value: object) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"lead_time {value!r} is no number")
    return float(value)


def _said(entry: Entry, names: Mapping[User, str]) -> Said | Fault:
    for name in ("answer", "verdict"):
        if len(entry.texts.get(name, ())) > 1:
            return Fault(entry.where, f"{name}: {entry.texts[name]} are chosen, not one of them")
    given = {name: "\n".join(entry.texts.get(name, ())) for name in CONTROLS}
    if given["cannot_judge"] and not given["reason"]:
        return Fault(entry.where, "says that the image cannot be judged, but not why")
    # A reason written before the tick was taken away again stays in the hidden field.
    unjudged = given["reason"] if given["cannot_judge"] or not given["answer"] else ""
    return Said(
        where=entry.where,
        task_id=str(entry.data["task_id"]),
        batch=str(entry.data.get("batch", "")),
        annotator=names.get(entry.user, ""),
        answer=given["answer"],
        verdict=given["verdict"],
        description=given["description"],
        note=given["note"],
        unjudged=unjudged,
        seconds=entry.seconds,
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
