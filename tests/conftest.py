"""Miniature models and table rows that many tests share."""

import json
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from medq_engine import checks, nano, rounds
from medq_engine.models.mllm import Mllm, load, process, render
from tests.tiny_models import build as build_tiny

# Trainings may run beside the tests; a tiny model gains nothing from a second thread.
torch.set_num_threads(1)

SIZE = 48
PARAMS = Path(__file__).parents[1] / "params.yaml"
Row = dict[str, object]


@pytest.fixture(scope="session")
def build_nano() -> Callable[[int], Mllm]:
    """A fresh nano model of 85 thousand parameters, float32, weights by seed."""

    def build(seed: int = 0) -> Mllm:
        torch.manual_seed(seed)
        mllm = nano.build(SIZE, hidden=40, vision_layers=1, text_layers=1)
        mllm.model.eval()
        return mllm

    return build


@pytest.fixture(scope="session")
def nano_model(build_nano: Callable[[int], Mllm]) -> Mllm:
    """A nano model to ask only: whoever trains it or attaches an adapter builds a fresh one."""
    return build_nano(0)


@pytest.fixture(scope="session")
def tiny_mllm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Mllm]:
    """The tiny checkpoint of a family, loaded once: to ask only, or leave as it was."""

    @cache
    def loaded(family: str) -> Mllm:
        return load(build_tiny(family, tmp_path_factory.mktemp(family)))

    return loaded


@pytest.fixture(scope="session")
def plain_pass() -> Callable[..., np.ndarray]:
    """Log-probability of each token of an answer, by one plain pass through the whole model."""

    def passed(
        mllm: Mllm, images: Sequence[Image.Image], text: str, answer: Sequence[int]
    ) -> np.ndarray:
        chat = render(mllm.processor, text, images=len(images))
        inputs = process(mllm.processor, [chat], [images])
        start = inputs["input_ids"].shape[1]
        behind = {"input_ids": answer, "attention_mask": [1] * len(answer)}
        behind["token_type_ids"] = [mllm.family.answer_type] * len(answer)
        behind["mm_token_type_ids"] = [0] * len(answer)
        for name in behind.keys() & inputs.keys():
            inputs[name] = torch.cat([inputs[name], torch.tensor([behind[name]])], 1)
        with torch.inference_mode():
            logits = mllm.base(**inputs).logits[0]
        logp = torch.log_softmax(logits.double(), -1)
        return logp[range(start - 1, start - 1 + len(answer)), list(answer)].numpy()

    return passed


@pytest.fixture(scope="session")
def noise_images() -> list[Image.Image]:
    """Four different pictures, 48 px, RGB."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (4, SIZE, SIZE, 3), dtype=np.uint8)
    return [Image.fromarray(array) for array in pixels]


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is written into the figures and sheets of a test, as it is drawn."""
    seen: list[str] = []
    original = Figure.savefig

    def savefig(figure: Figure, *args: object, **kwargs: object) -> None:
        found = figure.findobj(Text)
        seen.extend(text.get_text() for text in found if text.get_text())
        original(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return seen


@pytest.fixture
def item_row() -> Callable[..., Row]:
    """A yes-no item (schema ITEM) about an aliased MRI image, with changes."""

    def row(item_id: str, **changes: object) -> Row:
        return {
            "item_id": item_id,
            "task": "perception",
            "image_ids": ["image"],
            "question": "Is there aliasing in this MRI image?",
            "options": ["Yes", "No"],
            "answer": "Yes",
            "question_type": "yes-no",
            "modality": "mri",
            "attribute": "aliasing",
            "severity": "mild",
            "scope": "modality-specific",
            "findings": [{"label": "aliasing", "severity": "mild", "place": ""}],
            "reference": (
                "This is an MRI image. There is mild aliasing. "
                "Overall, the quality of this image is usable."
            ),
            "verdict": "usable",
            "subject_id": "subject",
            "scene_id": "scene",
            "origin": "phantom",
        } | changes

    return row


@pytest.fixture
def task_row() -> Callable[..., Row]:
    """A routed task (schema TASK) that waits for an expert, with changes."""

    def row(task_id: str, **changes: object) -> Row:
        return {
            "task_id": task_id,
            "image_id": f"image-{task_id}",
            "prototype_id": "p00",
            "arm": "prototype",
            "modality": "mri",
            "question_type": "yes-no",
            "attribute": "aliasing",
            "question": "Is there aliasing in this MRI image?",
            "options": ["Yes", "No"],
            "model_answer": "Yes",
            "model_probability": 0.9,
            "entropy": 0.1,
            "draft": "No",
            "agreement": 0.0,
            "route": "expert",
            "audit": False,
            "unreviewed": "expert",
            "gold": "",
            "readers": 1,
            "error": 0.2,
            "error_sd": 0.7,
            "round": 1,
        } | changes

    return row


@pytest.fixture
def queue_row(task_row: Callable[..., Row]) -> Callable[..., Row]:
    """A task of `task_row` as it stands in the queue, with changes."""

    def row(task_id: str, **changes: object) -> Row:
        return checks.queue_row(task_row(task_id, **changes))

    return row


@pytest.fixture
def answer_row() -> Callable[..., Row]:
    """A person's answer to a task of `task_row`, as an annotation file holds it, with changes."""

    def row(task: Row, **changes: object) -> Row:
        same = {name: task[name] for name in ("task_id", "image_id", "question", "route", "round")}
        return {
            **same,
            "answer": "Yes",
            "description": "",
            "annotator": "reader-1",
            "seconds": 30.0,
            "batch": "batch",
            "note": "",
        } | changes

    return row


@pytest.fixture
def label_row() -> Callable[..., Row]:
    """An accepted label (schema LABEL) of an expert, with changes."""

    def row(task_id: str, **changes: object) -> Row:
        return {
            "task_id": task_id,
            "image_id": f"image-{task_id}",
            "prototype_id": "p00",
            "arm": "prototype",
            "modality": "mri",
            "question_type": "yes-no",
            "attribute": "aliasing",
            "question": "Is there aliasing in this MRI image?",
            "answer": "Yes",
            "verdict": "",
            "description": "",
            "route": "expert",
            "annotator": "reader-1",
            "seconds": 30.0,
            "round": 1,
        } | changes

    return row


@pytest.fixture
def unit_rows() -> Callable[[Sequence[Sequence[float]]], np.ndarray]:
    """Vectors scaled to length 1, float32."""

    def scaled(rows: Sequence[Sequence[float]]) -> np.ndarray:
        vectors = np.asarray(rows, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return scaled


@pytest.fixture
def git_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty git repository that knows nothing of the user's settings."""
    who = {"NAME": "Tester", "EMAIL": "tester@localhost", "DATE": "2026-03-22T12:00:00+00:00"}
    for role in ("AUTHOR", "COMMITTER"):
        for name, value in who.items():
            monkeypatch.setenv(f"GIT_{role}_{name}", value)
    for scope in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"GIT_CONFIG_{scope}", "/dev/null")
    root = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    return root


@pytest.fixture
def stale(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[object]]:
    """What `dvc status --json` says, without DVC: a test puts stale stages into it."""
    said: dict[str, list[object]] = {}
    real = rounds.run

    def run(command: Sequence[str], root: Path) -> str:
        return json.dumps(said) if "dvc" in command else real(command, root)

    monkeypatch.setattr(rounds, "run", run)
    return said


@pytest.fixture
def write_metrics() -> Callable[[Path], None]:
    """Write what `medq status` reads of a finished round's metrics: a gain of 5 points."""

    def write(root: Path) -> None:
        gain = {"items": 120, "incumbent": 0.6, "challenger": 0.65}
        gain |= {"value": 0.05, "low": 0.01, "high": 0.09}
        both = {split: {"overall": gain} for split in ("gate", "test")}
        labels = {
            "by_route": {"draft": 8, "expert": 12, "model": 20},
            "annotators": {"reader-1": 12},
            "expert_seconds": 540.0,
        }
        gate = {"verdict": "pass", "reason": "R.", **both}
        (root / "metrics").mkdir(exist_ok=True)
        for name, value in (("gate", gate), ("annotate_import", labels)):
            (root / "metrics" / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")

    return write


@pytest.fixture
def round_root(git_root: Path, stale: dict[str, list[object]]) -> Path:
    """A committed repository at the start of round 1: the real params.yaml, no DVC."""
    start = {"round": "1", "tag": "round-001", "incumbent": "null", "history": "null"}
    text = rounds.with_state(PARAMS.read_text(encoding="utf-8"), start)
    (git_root / "params.yaml").write_text(text, encoding="utf-8")
    rounds.git(git_root, "add", "--all")
    rounds.git(git_root, "commit", "-q", "-m", "Start")
    return git_root
