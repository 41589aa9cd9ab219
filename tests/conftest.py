"""Miniature models and table rows that many tests share."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from medq_engine import nano
from medq_engine.mllm import Mllm

# Trainings may run beside the tests; a tiny model gains nothing from a second thread.
torch.set_num_threads(1)

SIZE = 48
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
def noise_images() -> list[Image.Image]:
    """Four different pictures, 48 px, RGB."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (4, SIZE, SIZE, 3), dtype=np.uint8)
    return [Image.fromarray(array) for array in pixels]


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
            "round": 1,
        } | changes

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
