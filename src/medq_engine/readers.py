"""From the bytes of a medical image file to an array in the order that people look at it."""

import gzip
import io
from collections.abc import Sequence

import nibabel as nib
import nrrd
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels import apply_rescale, pixel_array

FloatImage = NDArray[np.float32]


def read_volume(raw: bytes, reader: str) -> FloatImage:
    """A volume (X, Y, Z) in RAS+ order (indices rise to the right, the front and the head).

    `reader` is "nrrd" (attached header, space left-posterior-superior or RAS) or "nifti" (gzipped).
    Values keep the file's units: HU for CT, arbitrary for MRI.
    """
    if reader == "nrrd":
        stream = io.BytesIO(raw)
        header = nrrd.read_header(stream)
        data = nrrd.read_data(header, stream)
        affine = np.eye(4)
        affine[:3, :3] = header["space directions"].T
        if header["space"] == "left-posterior-superior":
            affine[:2] *= -1
        volume = nib.Nifti1Image(data, affine)
    else:
        volume = nib.Nifti1Image.from_bytes(gzip.decompress(raw))
    return np.asarray(nib.as_closest_canonical(volume).dataobj, dtype=np.float32)


def read_dicom(raw: bytes) -> FloatImage:
    """One DICOM frame: (H, W) in rescaled units, HU for CT, or (H, W, 3) in [0, 1] for colour.

    Grey frames are turned so that rows run to the back or the feet and columns to the patient's
    left or back, as films are hung. MONOCHROME1 comes out inverted: bright is high.
    """
    dataset = pydicom.dcmread(io.BytesIO(raw))
    pixels = pixel_array(dataset)
    if pixels.ndim == 3:
        return (pixels / np.iinfo(pixels.dtype).max).astype(np.float32)
    image = apply_rescale(pixels, dataset).astype(np.float32)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        image = image.max() + image.min() - image
    return hang(image, dataset.get("ImageOrientationPatient"))


def hang(image: FloatImage, cosines: Sequence[float] | None) -> FloatImage:
    """A frame turned as films are hung: columns to the patient's left or back, rows down or back.

    Args:
        image: (H, W).
        cosines: Image Orientation (Patient), six direction cosines; None leaves it as it is.
    """
    directions = np.array(cosines or [1, 0, 0, 0, 1, 0], dtype=float)
    for axis, direction in ((1, directions[:3]), (0, directions[3:])):
        along = int(np.abs(direction).argmax())
        # DICOM's patient axes run to the left, the back and the head (PS3.3 C.7.6.2.1.1).
        if (direction[along] < 0) != (along == 2):
            image = np.flip(image, axis)
    return np.ascontiguousarray(image)


def read_rgb(raw: bytes) -> FloatImage:
    """A colour picture in any format of Pillow's, as (H, W, 3) in [0, 1]."""
    with Image.open(io.BytesIO(raw)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
