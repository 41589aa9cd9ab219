"""Orientation, windows, padding and the parts of a file that give no scene."""

from dataclasses import replace

import numpy as np
import pytest

from medq_engine.slices import cut, plane_slice, to_square, window
from medq_engine.sources import Source
from tests.miniature_scans import dicom_bytes, head, nifti_bytes, png_bytes

SOURCE = Source(
    id="scan",
    package="box==1",
    kind="wheel",
    path="scan.bin",
    sha256="0" * 64,
    modality="mri",
    subject="patient",
    origin="clinical",
    licence="MIT",
    split="dev",
    reader="nifti",
    planes={"axial": (0, 6, 1)},
)


@pytest.mark.parametrize(("plane", "index"), [("axial", 2), ("coronal", 22), ("sagittal", 14)])
def test_planes_are_upright(plane, index):
    volume = head().astype(np.float32)
    volume[:, :, 4] += 50 * (volume[:, :, 4] > 0)
    image = plane_slice(volume, plane, index)
    top, left = (np.array(image.shape) + 1) // 2
    # The patient's right, and the front in a sagittal slice, are on the left; front or head on top.
    assert image[:, :left].sum() > image[:, left:].sum()
    assert image[:top].sum() > image[top:].sum()


def test_empty_slices_give_no_scene_and_ids_keep_their_index():
    scenes = cut(SOURCE, nifti_bytes(head(), np.eye(4)), 16)
    assert [scene.scene_id for scene in scenes] == [f"scan/axial{i:03d}" for i in (1, 2, 3, 4)]
    for scene in scenes:
        assert scene.image.shape == (16, 16)
        assert scene.image.dtype == np.float32
        assert scene.image.min() >= 0
        assert 0.5 < scene.image.max() <= 1
        assert (scene.subject_id, scene.split) == ("patient", "dev")


def test_a_file_without_a_scene_is_an_error():
    with pytest.raises(ValueError, match="'scan': no scene"):
        cut(SOURCE, nifti_bytes(np.zeros((9, 9, 6), dtype=np.int16), np.eye(4)), 16)


def test_each_ct_window_gives_a_scene():
    hu = np.where(head() > 0, head() - 60, -1000).astype(np.int16)
    windows = {"soft": (-160.0, 240.0), "lung": (-1350.0, 150.0)}
    source = replace(SOURCE, modality="ct", windows=windows)
    scenes = {s.scene_id: s.image for s in cut(source, nifti_bytes(hu, np.eye(4)), 30)}
    soft, lung = scenes["scan/axial-soft002"], scenes["scan/axial-lung002"]
    assert soft[15, 15] == pytest.approx((40 + 160) / 400, abs=1e-4)
    assert lung[15, 15] == pytest.approx((40 + 1350) / 1500, abs=1e-4)
    # What pads the narrow body to a square is air, which is grey in a lung window.
    assert soft[15, 0] == 0
    assert lung[15, 0] == pytest.approx(350 / 1500, abs=1e-4)


def test_window_clips_at_both_ends():
    hu = np.array([-500.0, -160.0, 40.0, 240.0, 900.0])
    assert np.array_equal(window(hu, -160, 240), [0, 0, 0.5, 1, 1])


def test_to_square_pads_the_short_side_evenly_and_averages_areas():
    image = np.zeros((4, 8), dtype=np.float32)
    image[:, 2:6:2] = 1.0
    square = to_square(image, 4)
    assert np.allclose(square[[0, 3]], 0)
    assert np.allclose(square[1:3], [[0, 0.5, 0.5, 0]] * 2)
    assert to_square(np.ones((5, 9, 3), dtype=np.float32), 12).shape == (12, 12, 3)


def test_a_dicom_frame_is_cropped_to_the_body():
    pixels = np.full((40, 40), 24)
    pixels[20:30, 10:30] = 1064
    source = replace(
        SOURCE, modality="ct", reader="dicom", planes={}, windows={"soft": (-160.0, 240.0)}
    )
    raw = dicom_bytes(pixels, RescaleSlope="1", RescaleIntercept="-1024")
    (scene,) = cut(source, raw, 20)
    assert scene.scene_id == "scan/single-soft000"
    assert scene.image[10, 1:-1].min() == pytest.approx(0.5)
    assert scene.image[1].max() == 0


def test_histology_skips_glass_and_keeps_the_tiles_place_in_the_grid():
    slide = np.full((64, 96, 3), 0.95)
    slide[:32, 32:] = (0.8, 0.4, 0.6)
    source = replace(SOURCE, modality="histopathology", reader="rgb", planes={}, tile=32)
    ids = [scene.scene_id for scene in cut(source, png_bytes(slide), 16)]
    assert ids == ["scan/tile001", "scan/tile002"]
    boxed = replace(source, boxes=((64, 0, 96, 64),))
    assert [scene.scene_id for scene in cut(boxed, png_bytes(slide), 16)] == ["scan/tile000"]


def test_fundus_gives_the_field_and_the_posterior_pole():
    rows, columns = np.mgrid[:80, :120]
    eye = np.zeros((80, 120, 3))
    eye[(rows - 40) ** 2 + (columns - 70) ** 2 < 30**2] = (0.8, 0.4, 0.2)
    source = replace(SOURCE, modality="fundus", reader="rgb", planes={})
    field, pole = cut(source, png_bytes(eye), 32)
    assert (field.scene_id, pole.scene_id) == ("scan/field000", "scan/pole000")
    assert field.image[0, 0].max() == 0
    assert field.image[16, 1].max() > 0.5
    assert pole.image.max(axis=-1).min() > 0.7


def test_endoscopy_takes_each_box():
    frame = np.zeros((40, 80, 3))
    frame[:, 40:] = (0.9, 0.5, 0.4)
    boxes = ((0, 0, 40, 40), (40, 0, 80, 40))
    source = replace(SOURCE, modality="endoscopy", reader="rgb", planes={}, boxes=boxes)
    dark, bright = cut(source, png_bytes(frame), 8)
    assert (dark.scene_id, bright.scene_id) == ("scan/frame000", "scan/frame001")
    assert dark.image.max() == 0
    assert bright.image.min() > 0.35
