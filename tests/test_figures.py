"""Figures and contact sheets: written, always the same bytes, a reason where nothing is shown."""

import io
from functools import partial

import numpy as np
import pytest
from PIL import Image

from medq_engine import figures, heatmap, sheets
from medq_engine.tables import CANDIDATE, ITEM, PREDICTION, PROTOTYPE, TASK, table

IMAGES = {f"i{n}": Image.new("RGB", (96, 96), (20 * n, 80, 160)) for n in range(10)}
PROTOTYPES = table(
    [
        {
            "prototype_id": f"p{n:02d}",
            "name": f"severe metal streak, CT, What {n}",
            "mass": 1.0 + n,
            "capability_error": 0.4,
            "anchor_item": f"i{n % 10}-what",
            "members": [f"i{n % 10}-what", "i0-what"][: 1 + (n > 0)],
        }
        for n in range(13)
    ],
    PROTOTYPE,
)
FAILURES = table(
    [
        {
            "item_id": f"{image}-what",
            "image_ids": [image],
            "question_type": "what",
            "answer": "metal streak",
            "answers": ["no degradation", "blur", "no degradation", "metal streak"],
        }
        for image in IMAGES
    ],
    {**PREDICTION, **ITEM},
)
CANDIDATES = table(
    [
        {"image_id": "i1", "prototype_id": "p12", "arm": "prototype", "cosine": 0.9},
        {"image_id": "i2", "prototype_id": "p12", "arm": "prototype", "cosine": 0.8},
        {"image_id": "i3", "prototype_id": "", "arm": "control", "cosine": None},
    ],
    CANDIDATE,
)
TASKS = table(
    [
        {
            "task_id": f"r001-{n:016d}",
            "image_id": f"i{n}",
            "question": "Which degradation is most visible in this CT image?",
            "model_answer": "MODEL",
            "draft": "DRAFT",
            "entropy": n / 5,
            "error": n / 10,
            "route": ("model", "draft", "expert", "deferred")[n % 4],
            "audit": n == 2,
            "gold": "GOLD" if n == 4 else "",
        }
        for n in range(6)
    ],
    TASK,
)
EVALUATION = {
    "items": 60,
    "accuracy": 0.5,
    "accuracy_by": {
        "question_type": {"how": 0.4, "what": 0.5, "yes-no": 0.6},
        "modality": {"ct": 0.0, "mri": 1.0},
        "severity": {"none": 0.5},
    },
}
BASELINE = {
    "accuracy": {"value": 0.53, "low": 0.51, "high": 0.55},
    "over_chance": {"value": 0.03, "low": 0.01, "high": 0.05},
}
GUESSED = {"items": 321, "chance": 0.5, "answer_only": BASELINE, "question_only": BASELINE}
BLIND = {
    "test": {"yes-no": GUESSED, "how (None, Mild, Severe)": GUESSED},
    "cross_validation": {"yes-no": GUESSED},
}


def shown(item_id: str, attribute: str, correct: bool, **changes: object) -> dict[str, object]:
    """An item about an image with severe aliasing and mild blur, and whether it was right."""
    findings = [("aliasing", "severe"), ("blur", "mild")]
    return {
        "item_id": item_id,
        "task": "perception",
        "modality": "mri",
        "attribute": attribute,
        "severity": "severe",
        "findings": [{"label": label, "severity": severity} for label, severity in findings],
        "correct": correct,
    } | changes


ASKED = [
    *(shown(f"aliasing{n}", "aliasing", correct=n < 9) for n in range(12)),
    *(shown(f"blur{n}", "blur", correct=n < 1) for n in range(2)),
    shown("absent", "noise", correct=True),
    shown("fine", "aliasing", correct=True, findings=[]),
    shown("compared", "blur", correct=True, task="comparison"),
    shown("ct", "blur", correct=True, modality="ct"),
]
ITEMS = table([{name: row[name] for name in row if name in ITEM} for row in ASKED], ITEM)
ANSWERS = table([{name: row[name] for name in ("item_id", "correct")} for row in ASKED], PREDICTION)
FULL = {
    "prototypes": partial(sheets.prototype_sheet, PROTOTYPES, FAILURES, IMAGES),
    "candidates": partial(sheets.candidate_sheet, PROTOTYPES, CANDIDATES, IMAGES),
    "routes": partial(figures.route_histogram, TASKS, None),
    "routes_paper": partial(figures.route_histogram, TASKS, 0.6),
    "batch": partial(sheets.batch_sheet, TASKS, IMAGES),
    "losses": partial(figures.learning_curve, np.linspace(2, 1, 30).tolist()),
    "slices": partial(figures.slice_bars, EVALUATION),
    "blind": partial(figures.blind_baselines, BLIND),
    "weak spots": partial(heatmap.weak_spots, ITEMS, ANSWERS),
}
EMPTY = {
    "prototypes": partial(sheets.prototype_sheet, PROTOTYPES[:0], FAILURES[:0], {}),
    "candidates": partial(sheets.candidate_sheet, PROTOTYPES[:0], CANDIDATES[:0], {}),
    "routes": partial(figures.route_histogram, TASKS[:0], 0.0),
    "batch": partial(sheets.batch_sheet, TASKS[:0], {}),
    "losses": partial(figures.learning_curve, []),
    "slices": partial(figures.slice_bars, {}),
    "blind": partial(figures.blind_baselines, {}),
    "weak spots": partial(heatmap.weak_spots, ITEMS[:0], ANSWERS[:0]),
}


@pytest.mark.parametrize("name", FULL)
def test_the_same_data_gives_the_same_bytes(name, tmp_path):
    first, second = tmp_path / "made" / "a.png", tmp_path / "made" / "b.png"
    FULL[name](first)
    with figures.mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        FULL[name](second)
    assert first.read_bytes() == second.read_bytes()
    assert b"Software" not in first.read_bytes()
    assert Image.open(io.BytesIO(first.read_bytes())).width > 600
    assert sorted(path.name for path in first.parent.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_input_says_why_there_is_nothing(name, tmp_path, texts):
    EMPTY[name](tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()
    assert [text.startswith("nothing to show: ") for text in texts] == [True]


def test_prototypes_say_how_wrong_the_model_was_and_how_many_are_left_out(tmp_path, texts):
    FULL["prototypes"](tmp_path / "a.png")
    assert any("1 more not shown" in text for text in texts)
    assert "said: no degradation\nright: metal streak" in texts
    labels = [text for text in texts if "capability error 40%" in text]
    assert len(labels) == 12
    assert "What 12\n2 failures" in labels[0]


def test_a_yes_no_mistake_names_the_fault_that_was_asked_about():
    failure = {
        "question_type": "yes-no",
        "attribute": "blur",
        "answer": "Yes",
        "answers": ["No", "Yes", "No"],
    }
    assert sheets.mistake(failure) == "said: No (blur)\nright: Yes"


def test_candidates_are_shown_nearest_first_and_control_last(tmp_path, texts):
    FULL["candidates"](tmp_path / "a.png")
    captions = [text for text in texts if text.startswith(("cosine", "random"))]
    assert captions == ["cosine 0.900", "cosine 0.800", "random"]


def test_a_sheet_of_control_images_alone_can_be_drawn(tmp_path, texts):
    control = CANDIDATES.filter(CANDIDATES["arm"] == "control")
    sheets.candidate_sheet(PROTOTYPES[:0], control, IMAGES, tmp_path / "a.png")
    assert "control: drawn at random\n1 images" in texts


def test_nobody_is_anchored_on_an_audit_or_a_gold_task(tmp_path, texts):
    FULL["batch"](tmp_path / "a.png")
    blind = [text for text in texts if text.startswith("r001-00000000\n") and "judge" in text]
    assert len(blind) == 2
    assert len({*blind}) == 1
    assert "MODEL" not in blind[0]
    assert "DRAFT" not in blind[0]
    assert not any("GOLD" in text for text in texts)
    assert sum("model: MODEL\ndraft: DRAFT" in text for text in texts) == len(TASKS) - 2


def test_blind_baselines_say_items_and_points_over_chance(tmp_path, texts):
    FULL["blind"](tmp_path / "a.png")
    assert texts.count("321 items") == 3
    assert texts.count("+3.0") == 6


def test_weak_spots_are_faults_in_the_image_at_their_own_severity():
    found = heatmap.cells_of(ITEMS, ANSWERS)
    assert found.rows() == [
        ("ct", "blur", "mild", 1, 1),
        ("mri", "aliasing", "severe", 12, 9),
        ("mri", "blur", "mild", 2, 1),
    ]


def test_the_weakest_attribute_is_on_top_and_a_small_cell_in_brackets(tmp_path, texts):
    FULL["weak spots"](tmp_path / "a.png")
    assert {"75", "12", "(50)", "(100)", "MRI: 71%"} <= set(texts)
    names = [text for text in texts if text in ("MRI: 71%", "blur", "aliasing")]
    assert names.index("blur") < names.index("aliasing")
