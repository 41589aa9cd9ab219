"""Files as hospitals have them, opened as a stack of frames that are decoded one at a time.

DICOM, NIfTI, NRRD, PNG, JPEG and TIFF. What a reader cannot use it refuses with `UnusableError`,
whose text is a fixed phrase: it never quotes the file, because headers name patients.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import nrrd
import numpy as np
import pydicom
import tifffile
from nibabel.orientations import apply_orientation, io_orientation
from PIL import Image, ImageOps
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, get_decoder, pixel_array

from medq_engine.errors import MedqError
from medq_engine.readers import FloatImage, hang
from medq_engine.slices import plane_slice
from medq_engine.vocabulary import Modality

TIFF = (".tif", ".tiff", ".svs")
PICTURE = (".png", ".jpg", ".jpeg")
DICOM = ("", ".dcm", ".dicom", ".ima")
HEADER_MODALITY: dict[str, Modality] = {
    "MR": "mri",
    "CT": "ct",
    "OP": "fundus",
    "ES": "endoscopy",
    "SM": "histopathology",
}
"""Modality (0008,0060) of DICOM, as far as it says which of ours it is."""
UNSAID = ("", "OT", "XC", "GM")
"""Modalities that say too little to contradict the user: other, external camera, microscopy."""
PLANES = ("sagittal", "coronal", "axial")
"""The plane that lies across each axis of a RAS+ volume."""
THICK = 1.2
"""A voxel this many times longer than the others shows the plane in which a volume was taken."""


class UnusableError(MedqError):
    """A file is quarantined; the text is the reason, in fixed words."""


class Frame(NamedTuple):
    """(H, W) or (H, W, 3) float32, and the (low, high) that is shown as [0, 1], if anybody says."""

    values: FloatImage
    window: tuple[float, float] | None


@dataclass(frozen=True)
class Stack:
    """The frames of one file.

    `modality` is what the header says, in our words; None if it says nothing, "" if it says one
    that is not ours. `patient` is what tells patients apart, in the clear: hash it and forget it.
    """

    count: int
    frame: Callable[[int], Frame]
    modality: Modality | str | None = None
    patient: str = ""


def open_stack(path: Path) -> Stack:
    """Open a file by its extension; without one it must be DICOM, and DICOM may have any.

    Raises:
        UnusableError: The format is none of ours, or a kind of it that cannot be shown.
        Exception: Whatever the libraries raise on a damaged file.
    """
    name = path.name.lower()
    suffix = path.suffix.lower()
    if name.endswith((".nii", ".nii.gz")):
        stack = _nifti(path)
    elif suffix in (".nrrd", ".nhdr"):
        stack = _nrrd(path)
    elif suffix in PICTURE:
        stack = _picture(path)
    elif suffix in TIFF:
        stack = _tiff(path)
    elif _has_preamble(path):
        stack = _dicom(path)
    else:
        raise UnusableError("not DICOM" if suffix in DICOM else "unsupported extension")
    # One frame is looked at several times: for its body, for its scale, for itself.
    return Stack(stack.count, lru_cache(2)(stack.frame), stack.modality, stack.patient)


def _has_preamble(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _dicom(path: Path) -> Stack:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    if "Rows" not in header or "Columns" not in header:
        raise UnusableError("no pixels")
    syntax = header.file_meta.TransferSyntaxUID
    known = syntax.name if syntax.keyword else "a private transfer syntax"
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise UnusableError(f"no decoder for {known}")
    said = str(header.get("Modality", "") or "")
    patient = str(header.get("PatientID", "") or "").strip()
    issuer = str(header.get("IssuerOfPatientID", "") or "").strip()
    return Stack(
        count=int(header.get("NumberOfFrames", 1) or 1),
        frame=partial(_dicom_frame, path, header),
        modality=None if said in UNSAID else HEADER_MODALITY.get(said, ""),
        patient=f"{issuer}\0{patient}" if patient else "",
    )


def _dicom_frame(path: Path, header: Dataset, index: int) -> Frame:
    """One frame in rescaled units with its window; colour in [0, 1]. As films are hung.

    MONOCHROME1 is negated, values and window, so that bright is high (PS3.3 C.7.6.3.1.2).
    """
    pixels = pixel_array(path, index=index)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, header)
        return Frame((pixels / np.iinfo(pixels.dtype).max).astype(np.float32), (0.0, 1.0))
    if pixels.ndim == 3:
        return Frame((pixels / (2.0**header.BitsStored - 1)).astype(np.float32), (0.0, 1.0))
    find = partial(_find, header, index)
    slope = find("PixelValueTransformationSequence", "RescaleSlope")
    if "ModalityLUTSequence" in header:
        pixels = apply_modality_lut(pixels, header)
    elif slope is not None:
        shift = find("PixelValueTransformationSequence", "RescaleIntercept") or 0
        pixels = pixels * float(slope) + float(shift)
    centre, width = (find("FrameVOILUTSequence", f"Window{part}") for part in ("Center", "Width"))
    if centre is not None and width is not None:
        function = find("FrameVOILUTSequence", "VOILUTFunction") or "LINEAR"
        window = _window(_first(centre), _first(width), str(function))
    elif "VOILUTSequence" in header:
        bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
        pixels, window = apply_voi(pixels, header), (0.0, 2.0**bits - 1)
    else:
        window = None
    values = np.asarray(pixels, dtype=np.float32)
    if header.PhotometricInterpretation == "MONOCHROME1":
        values, window = -values, window and (-window[1], -window[0])
    return Frame(hang(values, find("PlaneOrientationSequence", "ImageOrientationPatient")), window)


def _find(header: Dataset, index: int, group: str, name: str) -> object:
    """An attribute of a frame: from the functional groups if it has any, else from the header."""
    shared = header.get("SharedFunctionalGroupsSequence") or []
    each = header.get("PerFrameFunctionalGroupsSequence") or []
    for holder in [*each[index : index + 1], *shared]:
        for item in holder.get(group) or []:
            if name in item:
                return item.get(name)
    return header.get(name)


def _first(value: object) -> float:
    """A window's number; of several windows the first is the one that the scanner meant."""
    return float(value[0] if isinstance(value, Sequence) and not isinstance(value, str) else value)


def _window(centre: float, width: float, function: str) -> tuple[float, float]:
    """(low, high) of a window (PS3.3 C.11.2.1.2); a sigmoid is taken as the line at its centre."""
    if function == "LINEAR_EXACT":
        return centre - width / 2, centre + width / 2
    if function == "SIGMOID":
        return centre - width / 2, centre + width / 2
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def _volume(data: np.ndarray, affine: np.ndarray, scale: tuple[float, float]) -> Stack:
    """The slices of a scalar volume (X, Y, Z) across its longest voxels, else axial.

    `scale` is (slope, intercept) of the stored numbers, applied to a slice when it is read: a whole
    body of 16-bit numbers would take twice its room as float32.
    """
    if data.ndim != 3 or data.dtype.kind not in "biuf" or 0 in data.shape:
        raise UnusableError("not a volume of plain numbers")
    orientation = io_orientation(affine)
    if np.isnan(orientation).any():
        orientation = io_orientation(np.eye(4))
    data = apply_orientation(data, orientation)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)[np.argsort(orientation[:, 0])]
    across = 2
    if lengths.max() > THICK * np.median(lengths):
        across = int(lengths.argmax())

    def frame(index: int) -> Frame:
        image = plane_slice(data, PLANES[across], index)
        values = np.asarray(image, dtype=np.float32) * scale[0] + scale[1]
        return Frame(np.nan_to_num(values.astype(np.float32)), None)

    return Stack(data.shape[across], frame)


def _nifti(path: Path) -> Stack:
    image = nib.load(path)
    data = image.dataobj.get_unscaled()
    # The first of a series in time, in direction or in echo.
    data = data[(slice(None),) * 3 + (0,) * (data.ndim - 3)] if data.ndim > 3 else data
    data = data[..., None] if data.ndim == 2 else data
    return _volume(data, image.affine, (float(image.dataobj.slope), float(image.dataobj.inter)))


def _nrrd(path: Path) -> Stack:
    header = nrrd.read_header(str(path))
    detached = header.get("data file", header.get("datafile"))
    if detached is not None and (not isinstance(detached, str) or Path(detached).name != detached):
        raise UnusableError("a detached NRRD header that points beyond its folder")
    if detached is not None and (detached == "LIST" or "%" in detached):
        raise UnusableError("a detached NRRD header of several files")
    data, _ = nrrd.read(str(path))
    directions = header.get("space directions")
    if directions is None:
        directions = np.diag(np.resize(header.get("spacings", 1.0), data.ndim))
        directions = directions[:, :3] if data.ndim <= 3 else directions
    directions = np.asarray(directions, dtype=float)
    # An axis that is not of space holds the colours, times or directions: the first is taken.
    for axis in np.flatnonzero(np.isnan(directions).any(axis=1))[::-1]:
        data, directions = data.take(0, axis), np.delete(directions, axis, 0)
    if data.ndim == 2:
        data, directions = data[..., None], np.eye(3)
    affine = np.eye(4)
    if directions.shape == (3, 3):
        affine[:3, :3] = directions.T
    if str(header.get("space", "")).lower() in ("left-posterior-superior", "lps"):
        affine[:2] *= -1
    elif str(header.get("space", "")).lower() in ("left-anterior-superior", "las"):
        affine[0] *= -1
    return _volume(data, affine, (1.0, 0.0))


def _picture(path: Path) -> Stack:
    with Image.open(path, formats=("PNG", "JPEG", "MPO")) as picture:
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):
            frame = Frame(np.asarray(picture, dtype=np.float32), None)
        else:
            mode = "L" if picture.mode in ("1", "L", "LA") else "RGB"
            frame = Frame(np.asarray(picture.convert(mode), dtype=np.float32) / 255, (0.0, 1.0))
    return Stack(1, lambda _: frame)


def _tiff(path: Path) -> Stack:
    with tifffile.TiffFile(path) as tiff:
        # A pyramid's smaller copies are no pages of their own.
        pages = [number for number, page in enumerate(tiff.pages) if not page.is_reduced]
    return Stack(len(pages), lambda index: _tiff_page(path, pages[index]))


def require_whole(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
    """Raise EOFError if the file ends before the page does: its decoders may make up the rest."""
    ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
    if max(ends) > tiff.filehandle.size:
        raise EOFError


def _tiff_page(path: Path, number: int) -> Frame:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[number]
        kind = tifffile.PHOTOMETRIC(page.photometric).name
        require_whole(tiff, page)
        pixels = page.asarray()
        colours = page.colormap
    if kind not in ("MINISWHITE", "MINISBLACK", "RGB", "YCBCR", "PALETTE"):
        raise UnusableError("a TIFF of other colours than grey and RGB")
    if kind == "PALETTE":
        pixels = np.moveaxis(colours[:, pixels], 0, -1)
    if kind in ("RGB", "YCBCR") and pixels.ndim == 3 and pixels.shape[0] < 5 <= pixels.shape[2]:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 3 and pixels.shape[2] < 3:
        pixels = pixels[..., 0]
    if pixels.ndim not in (2, 3):
        raise UnusableError("a TIFF of more than two dimensions a page")
    values = np.asarray(pixels[..., :3] if pixels.ndim == 3 else pixels, dtype=np.float32)
    top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else None
    deep_grey = pixels.ndim == 2 and pixels.dtype.itemsize > 1
    window = None if top is None or deep_grey else (0.0, 1.0)
    if kind == "MINISWHITE":
        values = (top or values.max()) - values
    return Frame(values if window is None else values / top, window)
