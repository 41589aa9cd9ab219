"""From the bytes of a medical image file to pristine two-dimensional scenes.

A scene is what degradations start from, so it must be of good quality as it is: no blank slice, no
glass or ink, the right way up, in the window that a reader of that modality uses. Arrays are
float32 in [0, 1], (size, size) for MRI and CT, (size, size, 3) for colour. In-plane pixels are
taken as square, which holds for every source of the manifest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from medq_engine.readers import FloatImage, read_dicom, read_rgb, read_volume
from medq_engine.sources import Origin, Plane, Source, Split
from medq_engine.vocabulary import Modality

MIN_BODY = 0.08
"""Share of a slice that must be body; the ends of a volume have less."""
MIN_TISSUE = 0.75
"""Share of a histology tile that must be stained."""
GLASS = 0.82
"""A pixel with some channel below it is stained: glass is white in all three."""
BODY_HU = -300.0
"""Between air or lung and soft tissue."""
MARGIN = 0.04
"""Of the body's box, kept as air around it."""
POLE = 0.62
"""Side of the posterior-pole view, as a share of the fundus field: inside the circle (< 0.707)."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A pristine image with its provenance; `scene_id` is `source/viewNNN`, stable over runs."""

    scene_id: str
    image: FloatImage
    modality: Modality
    anatomy: str
    shows: tuple[str, ...]
    subject_id: str
    source: str
    origin: Origin
    licence: str
    split: Split


def cut(source: Source, raw: bytes, size: int) -> list[Scene]:
    """The scenes of a source's file, at `size` x `size` pixels.

    Raises:
        ValueError: the file gives no scene, so the manifest's hints do not fit it.
    """
    if source.reader in ("nrrd", "nifti"):
        views = _volume_views(source, read_volume(raw, source.reader))
    else:
        pixels = read_dicom(raw) if source.reader == "dicom" else read_rgb(raw)
        views = _colour_views(source, pixels) if pixels.ndim == 3 else _flat_views(source, pixels)
    scenes = [
        Scene(
            scene_id=f"{source.id}/{view}{index:03d}",
            image=to_square(image, size),
            modality=source.modality,
            anatomy=source.anatomy,
            shows=source.shows,
            subject_id=source.subject,
            source=source.id,
            origin=source.origin,
            licence=source.licence,
            split=source.split,
        )
        for view, index, image in views
    ]
    if not scenes:
        raise ValueError(f"source {source.id!r}: no scene in {source.path}; check its hints")
    return scenes


def plane_slice(volume: FloatImage, plane: Plane, index: int) -> FloatImage:
    """Slice `index` of a RAS+ volume, upright, the patient's right (or front) on the left."""
    if plane == "axial":
        return volume[::-1, ::-1, index].T
    if plane == "coronal":
        return volume[::-1, index, ::-1].T
    return volume[index, ::-1, ::-1].T


def window(image: FloatImage, low: float, high: float) -> FloatImage:
    """Map [low, high] to [0, 1] and clip what is outside."""
    return np.clip((image - low) / (high - low), 0, 1).astype(np.float32)


def to_square(image: FloatImage, size: int) -> FloatImage:
    """Pad (H, W[, 3]) to a square with the background, then resize to (size, size[, 3]).

    The background is the median of the two sides that are padded: air in a lung window is grey.

    Shrinking averages areas, so it does not alias; enlarging is bicubic.
    """
    high, wide = image.shape[:2]
    side = max(high, wide)
    top, left = (side - high) // 2, (side - wide) // 2
    sides = image[[0, -1]] if high < wide else image[:, [0, -1]]
    pad = [(top, side - high - top), (left, side - wide - left)] + [(0, 0)] * (image.ndim - 2)
    square = np.pad(image, pad, constant_values=float(np.median(sides)))
    how = Image.Resampling.BOX if side >= size else Image.Resampling.BICUBIC
    bands = [
        np.asarray(Image.fromarray(np.ascontiguousarray(band)).resize((size, size), how))
        for band in np.moveaxis(np.atleast_3d(square), -1, 0)
    ]
    return np.clip(bands[0] if image.ndim == 2 else np.stack(bands, axis=-1), 0, 1)


View = tuple[str, int, FloatImage]


def _scales(source: Source, values: FloatImage) -> dict[str, tuple[float, float]]:
    """The windows of a CT source by name, or the one scale of an MRI, taken from its values."""
    if source.windows:
        return dict(source.windows)
    # Of the body only: air fills a share of the volume that changes from one scan to the next.
    body = values[values > 0.1 * np.percentile(values, 99)]
    if not body.size:
        return {"": (0.0, 1.0)}
    # Fat and contrast agent may be so bright that the organs would go dark: they clip instead.
    return {"": (0.0, float(min(1.05 * np.percentile(body, 99.5), 3 * np.median(body))))}


def _threshold(source: Source, scales: dict[str, tuple[float, float]]) -> float:
    """Between air and body. An atlas without a skull has 0 HU for air: its window starts there."""
    if source.windows:
        return max(BODY_HU, min(low for low, _ in scales.values()))
    return 0.12 * scales[""][1]


def _greys(
    view: str, index: int, image: FloatImage, scales: dict[str, tuple[float, float]]
) -> Iterator[View]:
    for name, (low, high) in scales.items():
        yield f"{view}-{name}" if name else view, index, window(image, low, high)


def _largest(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], tuple[slice, ...]]:
    """The largest connected region of a mask, and its box: the body, without table or noise."""
    labels, count = ndimage.label(mask)
    if not count:
        return mask, (slice(0), slice(0))
    biggest = 1 + int(np.bincount(labels.ravel())[1:].argmax())
    return labels == biggest, ndimage.find_objects(labels)[biggest - 1]


def _volume_views(source: Source, volume: FloatImage) -> Iterator[View]:
    scales = _scales(source, volume)
    threshold = _threshold(source, scales)
    for plane, (start, stop, step) in source.planes.items():
        kept = []
        for index in range(start, stop, step):
            image = plane_slice(volume, plane, index)
            body, box = _largest(image > threshold)
            if ndimage.binary_fill_holes(body).mean() >= MIN_BODY:
                kept.append((index, image, box))
        if not kept:
            continue
        # One box for the volume: a patient's slices keep their relative size.
        area = tuple(
            slice(min(box[i].start for *_, box in kept), max(box[i].stop for *_, box in kept))
            for i in (0, 1)
        )
        for index, image, _ in kept:
            yield from _greys(plane, index, _with_margin(image, area), scales)


def _with_margin(image: FloatImage, box: tuple[slice, ...]) -> FloatImage:
    cut_to = []
    for along, length in zip(box, image.shape, strict=True):
        extra = max(1, round(MARGIN * (along.stop - along.start)))
        cut_to.append(slice(max(along.start - extra, 0), min(along.stop + extra, length)))
    return image[tuple(cut_to)]


def _flat_views(source: Source, image: FloatImage) -> Iterator[View]:
    scales = _scales(source, image)
    _, box = _largest(image > _threshold(source, scales))
    yield from _greys("single", 0, _with_margin(image, box), scales)


def _colour_views(source: Source, pixels: FloatImage) -> Iterator[View]:
    if source.modality == "fundus":
        _, box = _largest(pixels.max(axis=-1) > 0.12)
        field = _centre_square(pixels[box], 1.0)
        yield "field", 0, field
        yield "pole", 0, _centre_square(field, POLE)
        return
    boxes = source.boxes or ((0, 0, pixels.shape[1], pixels.shape[0]),)
    areas = [pixels[top:bottom, left:right] for left, top, right, bottom in boxes]
    if source.tile is None:
        for index, area in enumerate(areas):
            yield "frame", index, _centre_square(area, 1.0)
        return
    tiles = [tile for area in areas for tile in _grid(area, source.tile)]
    # Numbered before the empty ones are dropped, so a change of MIN_TISSUE renames nothing.
    for index, tile in enumerate(tiles):
        if stained(tile) >= MIN_TISSUE:
            yield "tile", index, tile


def _centre_square(image: FloatImage, share: float) -> FloatImage:
    side = round(min(image.shape[:2]) * share)
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


def _grid(image: FloatImage, side: int) -> Iterator[FloatImage]:
    for top in range(0, image.shape[0] - side + 1, side):
        for left in range(0, image.shape[1] - side + 1, side):
            yield image[top : top + side, left : left + side]


def stained(tile: FloatImage) -> float:
    """Share of the pixels of (H, W, 3) in [0, 1] that a stain darkens in some channel."""
    return float((tile.min(axis=-1) < GLASS).mean())
