import numpy as np
import pytest
from PIL import Image

from medq_engine.encoder_page import draw, page
from medq_engine.encoder_report import Found, Task

KEYS = [(query, k) for query in ("one image", "medoid", "mean", "contrast") for k in (20, 50)]


@pytest.fixture
def asked() -> list[Task]:
    """Rings and streaks in CT, ten of a thousand pool images each."""
    pool, hits = np.arange(1000), np.arange(1000) < 10
    return [
        Task("ct", fault, np.arange(4), np.arange(4, 12), pool, hits, hits)
        for fault in ("ring", "streak")
    ]


def found(name: str, ring: float, streak: float) -> Found:
    lift = {key: np.array([ring, streak]) for key in KEYS}
    return Found(name, 8, "whitened", lift, np.array([0.2, 0.4]))


def test_the_page_says_what_is_simulated_and_names_what_is_missed(asked):
    rows = [found("blind", 1.0, 2.0), found("sees", 12.0, 7.5)]
    text = page(rows, rows[1], asked, "2026-01-01, commit `abc`", 0)
    assert "Simulated truth" in text
    assert "2026-01-01, commit `abc`" in text
    assert "the base rate is 1.0% on average" in text
    assert "a perfect search has a\nlift of 20 at k = 50" in text
    assert "**sees, whitened, by contrast** finds 1 of 2 faults" in text
    assert "Below that: streak in CT (7.5)." in text
    assert text.count("| blind |") == text.count("| sees |") == 1
    assert "| 9.8 | 9.8 (7.5 to 12.0) | 30% |" in text


def test_where_nothing_is_missed_the_page_says_none(asked):
    row = found("sees", 12.0, 8.0)
    assert "finds 2 of 2 faults at 8 x" in page([row], row, asked, "now", 0)
    assert "Below that: none." in page([row], row, asked, "now", 0)


def test_the_figure_is_always_the_same_bytes(asked, tmp_path):
    rows = [found("blind", 1.0, 2.0), found("sees", 12.0, 7.5)]
    for name in ("a.png", "b.png"):
        draw(rows, rows[1], asked, 0, tmp_path / name)
    draw(rows, rows[0], asked, 0, tmp_path / "other.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "other.png").read_bytes()
    assert Image.open(tmp_path / "a.png").width > 800
