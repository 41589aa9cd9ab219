"""A root with a batch of thirty tasks, as `dvc repro route` would leave it, in a few kilobytes."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from medq_engine import rounds, tables
from medq_engine.batches import Batch, open_batch
from medq_engine.language import question
from medq_engine.review.entries import Entry
from medq_engine.review.examples import Example, Examples
from medq_engine.review.session import Session
from tests.conftest import PARAMS, Row

ASKED = (
    ("mri", "yes-no", "aliasing"),
    ("ct", "what", "metal streak"),
    ("endoscopy", "how", "blood"),
    ("endoscopy", "what", "smoke"),
    ("fundus", "yes-no", "haze"),
)
NOTHING = {"answer": "", "verdict": "", "findings": [], "text": "", "note": "", "unjudged": ""}


@pytest.fixture
def review_task() -> Callable[..., Row]:
    """A task as it stands in the queue, of a kind that its number says, with changes."""

    def task(number: int, **changes: object) -> Row:
        modality, kind, attribute = ASKED[number % len(ASKED)]
        text, options = question(kind, modality, attribute)
        return {
            "task_id": f"r001-{number:02d}",
            "image_id": f"image-{number:02d}",
            "modality": modality,
            "question_type": kind,
            "attribute": attribute,
            "question": text,
            "options": list(options),
            "model_answer": options[0],
            "model_probability": 0.75,
            "entropy": 0.1,
            "draft": options[1],
            "agreement": 0.0,
            "route": "expert",
            "prototype_id": "p00",
            "round": 1,
            "blind": False,
            "readers": 1,
        } | changes

    return task


@pytest.fixture
def tasks(review_task: Callable[..., Row]) -> list[Row]:
    """Thirty tasks; the sixth is blind, the seventh wants two readers."""
    changes = {5: {"blind": True}, 6: {"readers": 2}}
    return [review_task(number, **changes.get(number, {})) for number in range(30)]


@pytest.fixture
def make_root(tmp_path: Path, item_row: Callable[..., Row]) -> Callable[[Sequence[Row]], Path]:
    """Write the files that `medq review` reads."""

    def make(tasks: Sequence[Row]) -> Path:
        data = tmp_path / "root" / "data"
        tables.replace(data / "queue" / "round-001.jsonl", tables.canonical(tasks))
        pool = [_record(task["image_id"], task["modality"]) for task in tasks]
        tables.write(tables.table(pool, tables.RECORD), data / "pool" / "0.parquet", tables.RECORD)
        dev = data / "benchmark" / "dev"
        likes = [item_row(f"like-{i}", image_ids=[f"dev-{i}"]) for i in range(2)]
        records = [_record(f"dev-{i}", "mri") for i in range(3)]
        tables.write(tables.table(likes, tables.ITEM), dev / "items.parquet", tables.ITEM)
        tables.write(tables.table(records, tables.RECORD), dev / "records.parquet", tables.RECORD)
        rows = tables.table([_prototype()], tables.PROTOTYPE)
        tables.write(rows, data / "round" / "prototypes.parquet", tables.PROTOTYPE)
        start = {"round": "1", "tag": "round-001", "incumbent": "null", "history": "null"}
        text = rounds.with_state(PARAMS.read_text(encoding="utf-8"), start)
        tables.replace(data.parent / "params.yaml", text.encode())
        return data.parent

    return make


def _record(image_id: str, modality: str) -> Row:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((16, 16)).save(stream, "PNG")
    return {
        "image_id": image_id,
        "image": {"bytes": stream.getvalue(), "path": f"{image_id}.png"},
        "modality": modality,
        "subject_id": "subject",
        "source": "test",
        "origin": "phantom",
        "licence": "none",
        "width": 16,
        "height": 16,
    }


def _prototype() -> Row:
    return {
        "prototype_id": "p00",
        "name": "mild aliasing, MRI, Yes-no",
        "modality": "mri",
        "question_type": "yes-no",
        "attribute": "aliasing",
        "severity": "mild",
        "mass": 2.0,
        "capability_error": 0.5,
        "anchor": [1.0],
        "anchor_item": "like-1",
        "members": ["like-0", "like-1"],
    }


@pytest.fixture
def root(make_root: Callable[[Sequence[Row]], Path], tasks: list[Row]) -> Path:
    """A root with the thirty tasks."""
    return make_root(tasks)


@pytest.fixture
def batch(root: Path) -> Batch:
    """Its batch."""
    return open_batch(root, "round-001")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def session(batch: Batch, clock: Clock) -> Session:
    """A session on the thirty tasks; their prototype has two examples."""
    shown = tuple(Example(f"dev-{i}", "mild aliasing", "usable", "Text.") for i in range(2))
    return Session(batch, {"p00": Examples("mild aliasing", shown)}, clock)


@pytest.fixture
def say(session: Session) -> Callable[..., Row]:
    """Open a task by its number and save a reading of it."""

    def said(annotator: str, number: int, *, adjudicates: bool = False, **content: object) -> Row:
        entry = Entry(adjudicates, f"r001-{number:02d}")
        session.open(annotator, entry)
        return session.save(annotator, entry, NOTHING | content)

    return said
