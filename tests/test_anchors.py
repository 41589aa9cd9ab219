import numpy as np
import pytest

from medq_engine.anchors import contrast_anchor, showing

FINDINGS = [
    [{"label": "haze", "severity": "mild"}],
    [{"label": "blur", "severity": "mild"}, {"label": "haze", "severity": "severe"}],
    [],
    [{"label": "blur", "severity": "mild"}],
    [{"label": "haze", "severity": "mild"}],
]
MODALITIES = ["fundus", "fundus", "fundus", "fundus", "endoscopy"]


def test_an_image_shows_a_fault_as_first_or_further_finding_in_its_own_modality():
    assert showing(FINDINGS, MODALITIES, "fundus", "haze").tolist() == [1, 1, 0, 0, 0]


def test_an_image_without_finding_shows_no_degradation():
    assert showing(FINDINGS, MODALITIES, "fundus", "no degradation").tolist() == [0, 0, 1, 0, 0]


@pytest.fixture
def vectors(unit_rows) -> np.ndarray:
    """Four images of a fault (along the first axis), twenty others; all share the second axis."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(24, 6)) * 0.2
    rows[:, 1] += 1
    rows[:4, 0] += 1
    return unit_rows(rows)


SHOWN = np.arange(24) < 4


def test_the_anchor_is_what_the_images_of_the_fault_share(vectors):
    anchor = contrast_anchor(vectors, SHOWN, ~SHOWN, 0.0)
    mean = vectors[:4].mean(0)
    assert anchor == pytest.approx(mean / np.linalg.norm(mean))
    assert anchor.dtype == np.float32


def test_what_all_images_share_is_taken_out(vectors):
    plain = contrast_anchor(vectors, SHOWN, ~SHOWN, 0.0)
    contrasted = contrast_anchor(vectors, SHOWN, ~SHOWN)
    assert plain[1] > 0.5
    assert abs(contrasted[1]) < 0.4
    assert contrasted[0] > 0.8
    assert np.linalg.norm(contrasted) == pytest.approx(1)


def test_without_others_the_anchor_is_the_mean(vectors):
    alone = contrast_anchor(vectors[:4], SHOWN[:4], ~SHOWN[:4])
    assert alone == pytest.approx(contrast_anchor(vectors, SHOWN, ~SHOWN, 0.0))
