"""Figures that compare two models: every slice, confusion and bin is drawn, always the same."""

import polars as pl
import pytest
from matplotlib.figure import Figure
from PIL import Image

from medq_engine import diagrams
from medq_engine.statistics import Difference

GAIN = vars(Difference(60, 20, 0.5, 0.6, 0.1, 0.02, 0.18, 0.03, 0.17))
LOSS = vars(Difference(30, 10, 0.5, 0.4, -0.1, -0.2, -0.01, -0.18, -0.02))
GATE = {
    "overall": GAIN,
    "modality": {"ct": GAIN, "mri": LOSS},
    "origin": {"clinical": GAIN, "template": LOSS},
}
TEST = {"overall": LOSS, "modality": {"ct": LOSS, "mri": GAIN}, "origin": {"clinical": GAIN}}
COUNTS = pl.DataFrame(
    [
        ("ct", "blur", "blur", 5, 1, 4),
        ("ct", "blur", "noise", 5, 4, 1),
        ("ct", "blur", "haze", 5, 0, 0),
        ("mri", "blur", "blur", 2, 2, 2),
    ],
    schema=["modality", "truth", "said", "offered", "before", "after"],
    orient="row",
)
BINS = [
    {"low": n / 10, "high": (n + 1) / 10, "items": n % 2, "confidence": n / 10, "accuracy": 0.5}
    for n in range(10)
]


@pytest.fixture
def drawn(monkeypatch):
    """All figures that are saved, to be looked into."""
    saved = []
    save = Figure.savefig

    def keep(figure, *args, **more):
        saved.append(figure)
        return save(figure, *args, **more)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def test_the_forest_has_every_slice_of_both_splits(tmp_path, drawn):
    diagrams.forest(GATE, TEST, 0.05, tmp_path / "forest.png")
    gate, test = drawn[0].axes
    names = [label.get_text().strip() for label in gate.get_yticklabels()]
    assert names == [
        *("overall", "Modality", "MRI", "CT"),
        *("Origin of the image", "clinical", "template"),
    ]
    assert [text.get_text() for text in gate.texts] == [
        "+10.0 (+2.0 to +18.0)",
        "-10.0 (-20.0 to -1.0)",
        *2 * ["+10.0 (+2.0 to +18.0)"],
        "-10.0 (-20.0 to -1.0)",
    ]
    assert len(test.texts) == 4
    assert gate.get_xlim() == test.get_xlim()


def test_a_confusion_is_a_picture_a_modality(tmp_path, drawn):
    made = diagrams.confusion_matrices(COUNTS, tmp_path / "confusion")
    assert made == {name: tmp_path / "confusion" / f"{name}.png" for name in ("mri", "ct")}
    incumbent, challenger = drawn[1].axes
    assert incumbent.get_title(loc="left") == "CT, incumbent: 20% right"
    assert challenger.get_title(loc="left") == "CT, challenger: 80% right"
    assert [t.get_text() for t in incumbent.get_yticklabels()] == ["blur", "noise"]
    assert [t.get_text() for t in incumbent.texts] == ["1", "4"]
    assert [t.get_text() for t in challenger.texts] == ["4", "1"]


def test_nothing_asked_is_an_empty_folder(tmp_path):
    assert diagrams.confusion_matrices(COUNTS[:0], tmp_path / "confusion") == {}
    assert list((tmp_path / "confusion").iterdir()) == []


def test_the_reliability_diagram_leaves_out_empty_bins(tmp_path, drawn):
    found = {"items": 5, "ece": 0.25, "bins": BINS}
    diagrams.reliability_diagram(found, found | {"ece": 0.125}, tmp_path / "r.png")
    incumbent, challenger = drawn[0].axes[0].lines[1:]  # after the diagonal
    assert incumbent.get_label() == "incumbent: calibration error 0.250"
    assert challenger.get_label() == "challenger: calibration error 0.125"
    assert list(incumbent.get_xdata()) == [0.1, 0.3, 0.5, 0.7, 0.9]


def test_the_same_data_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        diagrams.forest(GATE, TEST, 0.05, tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").width > 1000
