"""Miniature NIfTI, DICOM and PNG files, as bytes, for the tests of readers and scenes."""

import gzip
import io

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def head() -> np.ndarray:
    """A RAS+ box (20, 30, 6), bright at the front right; slices 0 and 5 are empty."""
    volume = np.zeros((20, 30, 6), dtype=np.int16)
    volume[3:17, 4:26, 1:5] = 100
    volume[12:16, 20:25, 1:5] = 180
    return volume


def nifti_bytes(volume: np.ndarray, affine: np.ndarray) -> bytes:
    return gzip.compress(nib.Nifti1Image(volume, affine).to_bytes())


def png_bytes(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray((pixels * 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def dicom_bytes(pixels: np.ndarray, **tags: object) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = pixels.astype("<u2").tobytes()
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()
