"""A batch of thirty tasks and what three people say of it, with hostile text wherever it can be."""

import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from medq_engine.annotations import Reading, reading
from medq_engine.batches import Batch, open_batch
from medq_engine.checks import queue_row
from medq_engine.descriptions import describe
from medq_engine.language import Finding, labels
from medq_engine.tables import canonical
from medq_engine.vocabulary import MODALITIES

HOSTILE = (
    '<script>alert("x")</script> & <b title=\'"\'>',
    "line\nbreak\r\nand\ttab\rand\u2028separator",
    "\U0001fa7b emoji, \u202eright to left \u05e2\u05d1\u05e8\u05d9\u05ea",
    '=HYPERLINK("http://example.org";"x")',
    "@SUM(1)",
    "'=apostrophe and formula",
    "+1, -1; $question $options",
    "  blanks around  ",
    "nul \x00 inside",
    "megabyte " * (2**20 // 9),
)
ANNA, BJORN = "Anna Müller", "Bjørn <i>; 'x' \u05d0"


class Pictures:
    """One picture under every id."""

    def struct(self, image_id: str) -> Mapping[str, object]:
        stream = io.BytesIO()
        Image.new("L", (8, 8), 90).save(stream, "PNG")
        return {"bytes": stream.getvalue(), "path": f"{image_id}.png"}


@pytest.fixture
def pictures() -> Pictures:
    return Pictures()


@pytest.fixture
def batch(tmp_path, task_row) -> Batch:
    """Thirty tasks of every question type; some blind, some for two readers, one all hostile."""
    rows = []
    for number in range(30):
        modality = MODALITIES[number % len(MODALITIES)]
        fault = labels(modality)[0]
        kind, options = (
            ("yes-no", ["Yes", "No"]),
            ("what", ["no degradation", *labels(modality)[:6]]),
            ("how", ["None", "Mild", "Severe"]),
        )[number % 3]
        rows.append(
            task_row(
                f"r001-{number:02d}",
                modality=modality,
                question_type=kind,
                attribute=fault,
                question=f"{kind} {fault}?",
                options=options,
                model_answer=options[0],
                draft=options[1] if number % 2 else "",
                audit=number % 7 == 1,
                gold=options[0] if number % 7 == 2 else "",
                readers=2 if number % 5 == 0 else 1,
            )
        )
    rows[7] |= {"question": " ".join(HOSTILE[:-1]), "options": [*HOSTILE[:-1], "a | b"]}
    rows[7] |= {"question_type": "what", "model_answer": HOSTILE[3], "draft": HOSTILE[6]}
    queue = tmp_path / "data" / "queue" / "round-001.jsonl"
    queue.parent.mkdir(parents=True)
    queue.write_bytes(canonical(map(queue_row, rows)))
    return open_batch(tmp_path, "round-001")


def _answer(task: Mapping[str, object], severe: bool) -> tuple[str, str]:
    """An answer and the description that goes with it."""
    findings = [Finding(task["attribute"], "severe")] if severe else []
    answers = {
        "yes-no": "Yes" if severe else "No",
        "what": task["attribute"] if severe else "no degradation",
        "how": "Severe" if severe else "None",
    }
    return answers[task["question_type"]], describe(task["modality"], findings)


@pytest.fixture
def readings(batch: Batch) -> list[Reading]:
    """What the page would store: every task but the last, second readings, "cannot judge"."""
    made = []
    for number, task in enumerate(batch.tasks[:-1]):
        names = (ANNA, BJORN) if task["readers"] == 2 else ((ANNA, BJORN)[number % 2],)
        for name in names:
            answer, description = _answer(task, severe=number % 4 < 2)
            text = HOSTILE[number % len(HOSTILE)]
            said: dict[str, object] = {
                "verdict": ("reject" if number % 4 < 2 else "good") if number % 2 else "",
                "description": f"{text}. {description}" if number % 3 else "",
                "note": HOSTILE[(number + 3) % len(HOSTILE)] if name == BJORN else "",
            }
            if number == 7:
                answer, said = HOSTILE[5], {"note": HOSTILE[0]}
            if number in (8, 20):
                answer, said = "", {"unjudged": text, "note": HOSTILE[2]}
            seconds = number + 0.125
            made.append(reading(task, name, batch.fingerprint, answer, seconds=seconds, **said))
    return made


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"
