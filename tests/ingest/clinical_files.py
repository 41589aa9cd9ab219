"""Miniature clinical files, good and broken, as bytes, for the tests of ingestion."""

import gzip
import io
from pathlib import Path

import imagecodecs
import nibabel as nib
import nrrd
import numpy as np
import pydicom
import tifffile
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from tests.miniature_scans import dicom_bytes, png_bytes

SIDE = 40
PATIENT = {
    "PatientName": "GARIBALDI^ANITA",
    "PatientID": "MRN-4471",
    "IssuerOfPatientID": "SANTA-CATARINA",
    "PatientBirthDate": "18210830",
    "AccessionNumber": "ACC-90210",
}


def body(seed: int, bits: int = 12) -> np.ndarray:
    """(SIDE, SIDE) uint16: an ellipse with a texture of its own in black air."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    inside = (rows / 17) ** 2 + (columns / 14) ** 2 < 1
    texture = 0.5 + 0.4 * rng.random((SIDE, SIDE))
    return (inside * texture * (2**bits - 1)).astype(np.uint16)


def volume(seed: int, depth: int = 7) -> np.ndarray:
    """(SIDE, SIDE, depth) int16, the first and the last slice empty."""
    slices = [body(100 * seed + i) for i in range(depth)]
    slices[0] = slices[-1] = np.zeros_like(slices[0])
    return np.stack(slices, axis=-1).astype(np.int16)


def colour(seed: int, side: int = SIDE) -> np.ndarray:
    """(side, side, 3) uint8, tissue all over."""
    rng = np.random.default_rng(seed)
    return (np.array([150, 60, 120]) + rng.integers(0, 60, (side, side, 3))).astype(np.uint8)


def mr(pixels: np.ndarray, **tags: object) -> bytes:
    """A DICOM file of PATIENT, MR unless `tags` say otherwise."""
    return dicom_bytes(pixels, **({"Modality": "MR"} | PATIENT | tags))


def frames(stack: np.ndarray, **tags: object) -> bytes:
    """A multi-frame MR file of (frames, H, W)."""
    return mr(stack[0], NumberOfFrames=len(stack), PixelData=stack.astype("<u2").tobytes(), **tags)


def rgb_dicom(pixels: np.ndarray, **tags: object) -> bytes:
    """An 8-bit colour DICOM file of (H, W, 3)."""
    layout = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    depth = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": pixels.tobytes()}
    return mr(pixels[..., 0], **(layout | depth | tags))


def jpeg2000(pixels: np.ndarray, syntax: str = JPEG2000Lossless, **tags: object) -> bytes:
    """An MR file in JPEG 2000; with another `syntax` it only says so."""
    dataset = pydicom.dcmread(io.BytesIO(mr(pixels, **tags)))
    code = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True)
    dataset.PixelData = encapsulate([code])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def nifti(seed: int, packed: bool = True) -> bytes:
    raw = nib.Nifti1Image(volume(seed), np.diag([1, 1, 4, 1])).to_bytes()
    return gzip.compress(raw, mtime=0) if packed else raw


def nrrd_bytes(seed: int, folder: Path) -> bytes:
    """A NRRD file with an attached header (the library writes paths only)."""
    header = {"space": "left-posterior-superior", "space directions": np.diag([1, 1, 4])}
    nrrd.write(str(folder / "scratch.nrrd"), volume(seed), header)
    return (folder / "scratch.nrrd").read_bytes()


def picture(pixels: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def tiff(pixels: np.ndarray, **how: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **how)
    return stream.getvalue()


def slide(seed: int, levels: int = 2, broken: bool = False) -> bytes:
    """A tiled JPEG pyramid of 256 px: tissue on the left half, glass on the right."""
    pixels = np.full((256, 256, 3), 245, np.uint8)
    pixels[:, :128] = colour(seed, 256)[:, :128]
    stream = io.BytesIO()
    how = {"tile": (64, 64), "photometric": "rgb", "compression": "jpeg"}
    with tifffile.TiffWriter(stream) as writer:
        writer.write(pixels, subifds=levels - 1, **how)
        for level in range(1, levels):
            writer.write(pixels[:: 2**level, :: 2**level], subfiletype=1, **how)
    raw = stream.getvalue()
    return raw[: len(raw) // 2] if broken else raw


def mri_tree(folder: Path) -> tuple[dict[str, bytes], dict[str, str], set[str]]:
    """About 200 files for --modality mri: all by path, the bad with a reason, the duplicates."""
    files: dict[str, bytes] = {}
    bad: dict[str, str] = {}
    for i in range(60):
        files[f"garibaldi-anita/IM{i:04d}"] = mr(body(i), InstanceNumber=i)
    for i in range(20):
        files[f"garibaldi-anita/mono1-{i}.dcm"] = mr(
            4095 - body(1000 + i), PhotometricInterpretation="MONOCHROME1"
        )
        files[f"rossi/p16-{i}.png"] = picture(body(1100 + i, 16), "PNG")
        files[f"rossi/p-{i}.jpg"] = picture(body(1200 + i, 8).astype(np.uint8), "JPEG")
        files[f"rossi/t-{i}.tiff"] = tiff(body(1300 + i))
    for i in range(5):
        files[f"bianchi/cine{i}.dcm"] = frames(np.moveaxis(volume(20 + i), -1, 0).astype(np.uint16))
        files[f"bianchi/j2k{i}.dcm"] = jpeg2000(body(1400 + i))
        files[f"bianchi/v{i}.nii.gz"] = nifti(30 + i)
        files[f"bianchi/v{i}.nrrd"] = nrrd_bytes(40 + i, folder)
        files[f"bianchi/colour{i}.png"] = picture(colour(1500 + i), "PNG")
        files[f"bianchi/uid/1.2.840.{i}"] = mr(body(1600 + i))
    files["bianchi/plain.nii"] = nifti(50, packed=False)
    files["bianchi/pages.tif"] = tiff(np.moveaxis(volume(51), -1, 0), photometric="minisblack")
    files["bianchi/deep-colour.tif"] = tiff(colour(1700).astype(np.uint16) * 257, photometric="rgb")
    again = {
        **{f"verdi/copy-{i}": files[f"garibaldi-anita/IM{i:04d}"] for i in range(8)},
        # Other bytes, the same pixels.
        **{f"verdi/same-{i}.dcm": mr(body(i), InstanceNumber=99) for i in range(4)},
    }

    def spoil(path: str, raw: bytes, reason: str) -> None:
        files[path], bad[path] = raw, reason

    for i in range(4):
        spoil(f"broken/cut{i}.dcm", mr(body(i))[:-900], "damaged or cut short (")
        spoil(f"broken/note{i}.dcm", b"Dear colleague, " * 40, "not DICOM")
        spoil(f"broken/cut{i}.png", files[f"rossi/p16-{i}.png"][:900], "damaged or cut short (")
        spoil(f"broken/blank{i}.png", png_bytes(np.full((SIDE, SIDE), 0.1 * i)), "blank")
        spoil(f"broken/small{i}.png", png_bytes(colour(i, 9) / 255), "too small")
    spoil("broken/cut.jpg", files["rossi/p-0.jpg"][:400], "damaged or cut short (")
    spoil("broken/cut.nii.gz", nifti(1)[:2000], "damaged or cut short (")
    spoil("broken/cut.nii", nifti(1, packed=False)[:-3000], "damaged or cut short (")
    spoil("broken/cut.nrrd", nrrd_bytes(1, folder)[:3000], "damaged or cut short (")
    spoil("broken/cut.tif", tiff(body(2))[:-500], "damaged or cut short (")
    spoil("broken/empty.dcm", b"", "empty")
    spoil("broken/empty.nii.gz", nifti(3)[:0], "empty")
    spoil("broken/air.nii", nib.Nifti1Image(volume(4) * 0, np.eye(4)).to_bytes(), "blank")
    spoil("broken/ct.dcm", mr(body(5), Modality="CT"), "the header says another modality")
    spoil("broken/us.dcm", mr(body(5), Modality="US"), "the header says another modality")
    spoil("broken/report.dcm", no_pixels(), "no pixels")
    spoil("broken/jls.dcm", jpeg2000(body(6), JPEGLSLossless), "no decoder for JPEG-LS Lossless")
    spoil("broken/letter.txt", b"Dear colleague", "unsupported extension")
    spoil("broken/Thumbs.db", bytes(200), "unsupported extension")
    return files | again, bad, set(again)


def no_pixels() -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(mr(body(0))))
    del dataset.PixelData, dataset.Rows, dataset.Columns
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def plant(files: dict[str, bytes], folder: Path) -> None:
    """Write files below a folder."""
    for path, raw in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(raw)
