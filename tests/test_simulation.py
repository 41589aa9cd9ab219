import hashlib

import numpy as np
import pytest
from PIL import Image

from medq_engine.degradations import DEGRADATIONS
from medq_engine.descriptions import PLACES
from medq_engine.language import Finding, unlike
from medq_engine.simulation import (
    OPPOSITES,
    augment,
    companions,
    content_id,
    degrade,
    draw_findings,
    from_png,
    place_of,
    seeded,
    to_png,
)


def scene(size: int = 48, *, colour: bool = False) -> np.ndarray:
    shape = (size, size, 3) if colour else (size, size)
    return np.random.default_rng(5).random(shape).astype(np.float32)


def test_a_generator_depends_on_its_parts_alone():
    assert seeded("a", 1).random() == seeded("a", 1).random()
    drawn = {seeded(*parts).random() for parts in [("a", 1), ("a", 2), ("b", 1), (1, "a")]}
    assert len(drawn) == 4


def test_a_view_only_moves_pixels_that_the_scene_has():
    image = scene()
    for seed in range(5):
        view = augment(image, "mri", np.random.default_rng(seed))
        assert view.shape == image.shape
        assert np.isin(view, image).all()


def test_only_tissue_is_turned():
    # Bright at the top: a turned view has its bright edge elsewhere.
    image = np.zeros((48, 48, 3), np.float32)
    image[:8] = 1

    def upright(modality: str) -> set[bool]:
        views = (augment(image, modality, np.random.default_rng(seed)) for seed in range(12))
        return {bool(view[0].min() == 1 and view[-1].max() == 0) for view in views}

    assert upright("endoscopy") == {True}
    assert upright("histopathology") == {True, False}


def test_no_finding_leaves_the_image_as_it_is():
    image = scene()
    same, findings = degrade(image, "ct", [], np.random.default_rng(0))
    assert np.array_equal(same, image)
    assert findings == ()


def test_a_finding_is_applied_by_its_label_and_severe_is_further_from_the_scene():
    image = scene()

    def loss(severity: str) -> float:
        degraded, _ = degrade(image, "ct", [Finding("blur", severity)], np.random.default_rng(0))
        return float(np.abs(degraded - image).mean())

    assert 0 < loss("mild") < loss("severe")


def test_findings_are_applied_one_after_another_and_noise_comes_last():
    image = scene()
    blur, noise = Finding("blur", "severe"), Finding("low-dose noise", "severe")
    rng = np.random.default_rng(0)
    step = degrade(degrade(image, "ct", [blur], rng)[0], "ct", [noise], rng)[0]
    for order in ([blur, noise], [noise, blur]):
        both, found = degrade(image, "ct", order, np.random.default_rng(0))
        assert np.array_equal(both, step)
        assert found == (blur, noise)


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        ((0, 12), (0, 12), "in the upper left"),
        ((20, 28), (20, 28), "in the centre"),
        ((36, 48), (20, 28), "at the bottom"),
        ((0, 48), (0, 20), "in the left half"),
        ((28, 48), (0, 48), "in the lower half"),
        ((0, 48), (0, 48), "throughout the image"),
    ],
)
@pytest.mark.parametrize("colour", [False, True])
def test_a_fault_lies_where_the_image_changed(rows, columns, expected, colour):
    before = scene(colour=colour)
    after = before.copy()
    after[slice(*rows), slice(*columns)] += 0.3
    assert place_of(before, after) == expected
    assert expected in PLACES


def test_faults_are_drawn_with_their_shares_and_foreign_names_are_ignored():
    shares = {"aliasing": 0.5, "blur": 0.1, "pen-ink": 0.9}
    rng = np.random.default_rng(0)
    drawn = [draw_findings("mri", shares, 0.0, rng) for _ in range(2000)]
    seen = [found[0].label if found else "" for found in drawn]
    # Four standard errors of a share of 0.5 in 2,000 draws are 0.045.
    assert seen.count(DEGRADATIONS["aliasing"].label) / 2000 == pytest.approx(0.5, abs=0.045)
    assert seen.count(DEGRADATIONS["blur"].label) / 2000 == pytest.approx(0.1, abs=0.03)
    assert set(seen) == {"", "aliasing", "blur"}
    severe = [found[0].severity == "severe" for found in drawn if found]
    assert np.mean(severe) == pytest.approx(0.5, abs=0.06)


def test_a_second_fault_is_as_frequent_as_declared_and_unlike_the_first():
    shares = {"aliasing": 0.3, "blur": 0.3, "low-resolution": 0.3}
    rng = np.random.default_rng(0)
    drawn = [draw_findings("mri", shares, 0.25, rng) for _ in range(2000)]
    faulty = [found for found in drawn if found]
    assert np.mean([len(found) == 2 for found in faulty]) == pytest.approx(0.25, abs=0.05)
    for found in faulty:
        labels = [finding.label for finding in found]
        assert set(labels[1:]) <= set(unlike("mri", labels[:1]))


def test_too_much_and_too_little_do_not_stand_together():
    for one, other in OPPOSITES:
        modality = DEGRADATIONS[one].modalities[0]
        assert other not in companions(modality, [one])
        assert one not in companions(modality, [other])


@pytest.mark.parametrize("colour", [False, True])
def test_png_keeps_every_grey_level_and_opens_as_rgb(colour):
    levels = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    image = np.stack([levels, levels[::-1], levels.T], -1) if colour else levels
    opened = from_png(to_png(image))
    assert isinstance(opened, Image.Image)
    assert opened.mode == "RGB"
    expected = image if colour else np.stack([image] * 3, -1)
    assert np.array_equal(np.asarray(opened), np.round(expected * 255).astype(np.uint8))


def test_an_image_is_named_by_its_bytes():
    data = to_png(scene())
    assert content_id(data) == hashlib.sha256(data).hexdigest()[:16]
    assert content_id(data) != content_id(to_png(scene(colour=True)))
