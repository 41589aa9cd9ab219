"""Which frames are taken, how they are shown, and what counts as blank or too small."""

import nibabel as nib
import numpy as np
import pytest

from medq_engine.ingest.clinical_readers import UnusableError
from medq_engine.ingest.views import Take, grey_scale, spread, take_views
from tests.ingest import clinical_files as made
from tests.miniature_scans import png_bytes

TAKE = Take(size=24, slices=3, tiles=6, level=0)


@pytest.fixture
def views(tmp_path):
    """The views of bytes under a name."""

    def cut(raw: bytes, name: str, modality: str, take: Take = TAKE) -> list[np.ndarray]:
        (tmp_path / name).write_bytes(raw)
        return take_views(tmp_path / name, modality, take)[2]

    return cut


def test_frames_are_spread_over_the_part_that_shows_something():
    assert spread(10, 3, lambda i: 2 <= i <= 7) == [3, 5, 7]
    assert spread(10, 8, lambda i: 2 <= i <= 7) == [2, 3, 4, 5, 6, 7]
    assert spread(10, 1, lambda i: 2 <= i <= 6) == [4]
    assert spread(10, 3, lambda i: False) == []
    assert spread(1, 3, lambda i: False) == [0]


def test_the_scale_is_the_bodys_and_a_bright_spot_clips():
    values = np.zeros(1000, np.float32)
    values[500:] = np.linspace(80, 120, 500)
    low, high = grey_scale(values)
    assert low == 0
    assert 120 < high < 130
    values[-4:] = 5000
    assert grey_scale(values)[1] < 310
    assert grey_scale(values - 700)[0] == -700


def test_ct_without_a_window_gets_soft_tissue_and_lungs_a_window_of_their_own(views):
    hu = np.full((60, 60, 3), -1000, np.int16)
    hu[10:50, 10:50] = 40
    scan = nib.Nifti1Image(hu, np.diag([1, 1, 5, 1]))
    soft = views(scan.to_bytes(), "a.nii", "ct")
    assert len(soft) == 3
    assert soft[0].shape == (24, 24)
    assert soft[0][12, 12] == pytest.approx((40 + 160) / 400, abs=1e-3)
    hu[15:30, 15:45] = -800
    chest = views(nib.Nifti1Image(hu, np.diag([1, 1, 5, 1])).to_bytes(), "b.nii", "ct")
    assert len(chest) == 6
    assert chest[1].max() == pytest.approx((40 + 1350) / 1500, abs=1e-3)


def test_blank_ends_of_a_volume_are_skipped(views):
    for raw, name in ((made.nifti(1), "v.nii.gz"), (made.nifti(2, packed=False), "v.nii")):
        images = views(raw, name, "mri", Take(24, 20, 6, 0))
        assert len(images) == 5
        assert all(image.max() > 0.7 for image in images)


def test_a_body_is_cropped_with_its_margin(views):
    wide = np.zeros((80, 80), np.uint16)
    wide[30:60, 40:70] = made.body(1)[5:35, 5:35] + 2000
    (image,) = views(made.picture(wide, "PNG"), "a.png", "mri")
    assert (image[2:-2, 2:-2] > 0.2).all()


def test_an_under_exposed_picture_is_kept_and_a_constant_one_is_not(views):
    dark = made.colour(1) / 255 * 0.1
    assert len(views(png_bytes(dark), "a.png", "fundus")) == 1
    with pytest.raises(UnusableError, match="blank"):
        views(png_bytes(np.full((40, 40, 3), 0.5)), "b.png", "fundus")
    with pytest.raises(UnusableError, match="too small"):
        views(png_bytes(np.eye(11)), "c.png", "mri")
    assert len(views(png_bytes(np.eye(12)), "d.png", "mri")) == 1


def test_grey_and_colour_go_by_modality(views):
    grey, colour = (
        made.picture(made.body(1, 8).astype(np.uint8), "PNG"),
        made.picture(made.colour(1), "PNG"),
    )
    assert views(grey, "a.png", "endoscopy")[0].shape == (24, 24, 3)
    assert views(colour, "b.png", "mri")[0].shape == (24, 24)


def test_endoscopy_leaves_out_the_panel_of_text(views):
    frame = np.zeros((40, 90, 3))
    frame[:, 25:65] = made.colour(1) / 255
    (image,) = views(png_bytes(frame), "a.png", "endoscopy")
    assert image.max(axis=-1).min() > 0.4


def test_a_large_histology_picture_is_cut_into_tissue_and_a_patch_is_kept_whole(views):
    picture = np.full((200, 200, 3), 0.96)
    picture[:, :96] = made.colour(1, 200)[:, :96] / 255
    assert len(views(png_bytes(picture), "a.png", "histopathology")) == 6
    assert len(views(png_bytes(picture[:90]), "b.png", "histopathology")) == 1


def test_frames_of_a_dicom_slide_are_tiles(views):
    tiles = np.stack([made.colour(i) for i in range(8)] + [np.full_like(made.colour(0), 250)] * 4)
    raw = made.rgb_dicom(
        tiles[0], Modality="SM", NumberOfFrames=len(tiles), PixelData=tiles.tobytes()
    )
    images = views(raw, "a.dcm", "histopathology")
    assert len(images) == TAKE.tiles
    assert all(image.min(axis=-1).mean() < 0.5 for image in images)
