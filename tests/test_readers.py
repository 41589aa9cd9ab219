"""Each reader on a miniature file made here: units and orientation."""

import nrrd
import numpy as np

from medq_engine.readers import read_dicom, read_rgb, read_volume
from tests.miniature_scans import dicom_bytes, head, nifti_bytes, png_bytes


def test_nifti_comes_out_ras_whatever_the_file_order():
    flipped = np.diag([-1.0, -1.0, 1.0, 1.0])
    assert np.array_equal(read_volume(nifti_bytes(head(), np.eye(4)), "nifti"), head())
    stored = head()[::-1, ::-1]
    assert np.array_equal(read_volume(nifti_bytes(stored, flipped), "nifti"), head())


def test_nrrd_in_lps_comes_out_ras(tmp_path):
    path = tmp_path / "head.nrrd"
    nrrd.write(
        str(path),
        head()[::-1, ::-1],
        {"space": "left-posterior-superior", "space directions": np.eye(3)},
    )
    assert np.array_equal(read_volume(path.read_bytes(), "nrrd"), head())


def test_dicom_is_rescaled_to_hu():
    raw = dicom_bytes(np.full((4, 6), 1064), RescaleSlope="1", RescaleIntercept="-1024")
    assert np.array_equal(read_dicom(raw), np.full((4, 6), 40.0))


def test_dicom_monochrome1_and_an_upside_down_frame_are_put_right():
    pixels = np.zeros((4, 6), dtype=np.uint16)
    pixels[0, 1] = 100
    inverted = read_dicom(dicom_bytes(pixels, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(inverted, 100.0 - pixels)
    turned = read_dicom(dicom_bytes(pixels, ImageOrientationPatient=[1, 0, 0, 0, -1, 0]))
    assert np.array_equal(turned, pixels[::-1])
    coronal = read_dicom(dicom_bytes(pixels, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]))
    assert np.array_equal(coronal, pixels)


def test_a_picture_comes_out_as_colour_in_unit_range():
    pixels = np.zeros((4, 6, 3))
    pixels[1, 2] = (1.0, 0.2, 0.6)
    image = read_rgb(png_bytes(pixels))
    assert image.dtype == np.float32
    assert np.allclose(image, pixels)
