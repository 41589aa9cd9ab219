"""Values, windows and orientation of each format; what is refused, and in which words."""

import nrrd
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medq_engine.ingest.clinical_readers import Stack, UnusableError, open_stack
from tests.ingest import clinical_files as made


@pytest.fixture
def opened(tmp_path):
    """Open bytes under a name."""

    def opening(raw: bytes, name: str = "file") -> Stack:
        (tmp_path / name).write_bytes(raw)
        return open_stack(tmp_path / name)

    return opening


def test_a_window_is_the_headers_first_in_rescaled_units(opened):
    pixels = made.body(0)
    tags = {"RescaleSlope": "2", "RescaleIntercept": "-1024"}
    values, window = opened(
        made.mr(pixels, WindowCenter=["41", "900"], WindowWidth=["401", "2"], **tags)
    ).frame(0)
    assert np.array_equal(values, 2.0 * pixels - 1024)
    # PS3.3 C.11.2.1.2: centre - 0.5 -+ (width - 1) / 2.
    assert window == (-159.5, 240.5)
    exact = opened(
        made.mr(pixels, WindowCenter="41", WindowWidth="401", VOILUTFunction="LINEAR_EXACT")
    )
    assert exact.frame(0).window == (-159.5, 241.5)
    assert opened(made.mr(pixels)).frame(0).window is None


def test_a_lookup_table_stands_in_for_a_window(opened):
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 12], list(range(4095, -1, -1))
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    pixels = made.body(0)
    values, window = opened(made.mr(pixels, VOILUTSequence=Sequence([table]))).frame(0)
    assert window == (0, 4095)
    assert np.array_equal(values, 4095 - pixels)


def test_monochrome1_shows_as_its_inverse_under_the_same_window(opened):
    pixels = made.body(0)
    window = {"WindowCenter": "2048", "WindowWidth": "4095", "VOILUTFunction": "LINEAR_EXACT"}
    straight = opened(made.mr(pixels, **window)).frame(0)
    turned = opened(made.mr(pixels, PhotometricInterpretation="MONOCHROME1", **window)).frame(0)
    shown = [(f.values - f.window[0]) / (f.window[1] - f.window[0]) for f in (straight, turned)]
    assert np.allclose(shown[0], 1 - shown[1], atol=1e-6)


def test_frames_have_windows_of_their_own(opened):
    groups = []
    for centre in ("100", "300"):
        inner, outer = Dataset(), Dataset()
        inner.WindowCenter, inner.WindowWidth = centre, "201"
        outer.FrameVOILUTSequence = Sequence([inner])
        groups.append(outer)
    stack = np.stack([made.body(1), made.body(2)])
    film = opened(made.frames(stack, PerFrameFunctionalGroupsSequence=Sequence(groups)))
    assert film.count == 2
    assert np.array_equal(film.frame(1).values, stack[1])
    assert [film.frame(i).window for i in (0, 1)] == [(-0.5, 199.5), (199.5, 399.5)]


def test_jpeg2000_and_colour_of_both_kinds(opened):
    assert np.array_equal(opened(made.jpeg2000(made.body(3))).frame(0).values, made.body(3))
    flat = np.full((made.SIDE, made.SIDE, 3), (200, 100, 50), np.uint8)
    rgb = opened(made.rgb_dicom(flat)).frame(0)
    assert np.allclose(rgb.values * 255, flat)
    # Y, Cb, Cr of the same colour (ITU-R BT.601, full range).
    ybr = np.full_like(flat, (124, 86, 182))
    other = opened(made.rgb_dicom(ybr, PhotometricInterpretation="YBR_FULL")).frame(0)
    assert np.abs(other.values * 255 - flat).max() < 2


def test_the_patient_and_the_modality_are_told_by_the_header(opened):
    stack = opened(made.mr(made.body(0)))
    assert (stack.modality, stack.patient) == ("mri", "SANTA-CATARINA\0MRN-4471")
    assert opened(made.mr(made.body(0), Modality="OT", PatientID="")).modality is None
    assert opened(made.mr(made.body(0), Modality="US")).modality == ""
    assert opened(made.mr(made.body(0), PatientID="")).patient == ""


def test_volumes_are_cut_across_their_long_voxels(opened, tmp_path):
    stacks = [opened(made.nifti(1), "v.nii.gz"), opened(made.nrrd_bytes(1, tmp_path), "v.nrrd")]
    for stack in stacks:
        assert stack.count == 7
        assert stack.frame(0).values.max() == 0
    volume = made.volume(1)
    assert np.array_equal(stacks[0].frame(3).values, volume[::-1, ::-1, 3].T)
    # The NRRD is stored to the left and the back: nothing is left to turn.
    assert np.array_equal(stacks[1].frame(3).values, volume[:, :, 3].T)


def test_a_detached_header_finds_its_neighbour_and_no_other_folder(tmp_path):
    nrrd.write(str(tmp_path / "v.nhdr"), made.volume(1), {"encoding": "raw"}, detached_header=True)
    assert open_stack(tmp_path / "v.nhdr").count == 7
    text = (tmp_path / "v.nhdr").read_text()
    (tmp_path / "v.nhdr").write_text(text.replace("data file: ", "data file: ../"))
    with pytest.raises(UnusableError, match="beyond its folder"):
        open_stack(tmp_path / "v.nhdr")


def test_pictures_keep_their_depth_and_tiffs_their_pages(opened):
    deep = made.body(4, 16)
    assert np.array_equal(opened(made.picture(deep, "PNG"), "a.png").frame(0).values, deep)
    pages = opened(made.tiff(np.stack([deep, deep // 2]), photometric="minisblack"), "a.tif")
    assert pages.count == 2
    assert np.array_equal(pages.frame(1).values, deep // 2)
    white = opened(made.tiff(deep.astype(np.uint8), photometric="miniswhite"), "w.tif")
    assert np.allclose(white.frame(0).values, 1 - deep.astype(np.uint8) / 255)
    colour = made.colour(1)
    for raw in (
        made.tiff(colour, photometric="rgb"),
        made.tiff(np.moveaxis(colour, -1, 0), photometric="rgb", planarconfig="separate"),
        made.tiff(colour.astype(np.uint16) * 257, photometric="rgb"),
    ):
        assert np.allclose(opened(raw, "c.tif").frame(0).values * 255, colour)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("letter", "not DICOM"),
        ("letter.dcm", "not DICOM"),
        ("letter.pdf", "unsupported extension"),
    ],
)
def test_what_is_no_image_is_refused(opened, name, reason):
    with pytest.raises(UnusableError, match=reason):
        opened(b"Dear colleague" * 20, name)


def test_a_reason_never_quotes_the_header(opened):
    with pytest.raises(UnusableError, match=r"^no decoder for a private transfer syntax$"):
        opened(made.jpeg2000(made.body(0), "1.2.3.4471"))
