import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from medq_engine import atlas
from medq_engine.calibration import LEVEL
from medq_engine.degradations import DEGRADATIONS

LEVELS = pl.read_csv("docs/degradations/calibration.csv", schema=LEVEL)


@pytest.fixture
def mri() -> pl.DataFrame:
    return LEVELS.filter(pl.col("modality") == "mri")


def test_a_sheet_has_a_row_for_every_degradation(mri, tmp_path):
    images = [np.random.default_rng(n).random((48, 48)).astype(np.float32) for n in range(2)]
    heights = []
    for levels in (mri, mri.head(4)):
        atlas.sheet(levels, images, tmp_path / "mri.png")
        heights.append(Image.open(io.BytesIO((tmp_path / "mri.png").read_bytes())).height)
    assert heights[0] > 2 * heights[1]


def test_the_same_levels_give_the_same_plot(mri, tmp_path):
    for name in ("a.png", "b.png"):
        atlas.loss_plot(mri, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_committed_page_is_that_of_the_registry_and_the_table():
    page = atlas.page(LEVELS)
    with open("docs/degradations/README.md", encoding="utf-8") as file:
        assert file.read() == page
    for degradation in DEGRADATIONS.values():
        assert f"| {degradation.label} |" in page
        assert degradation.cause in page
