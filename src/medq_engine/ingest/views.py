"""From the frames of one clinical file to the squares that a pool holds, as `slices` cuts scenes.

MRI and CT: the frames that show body, evenly spaced, windowed, cropped to the body. Fundus: the
field. Endoscopy: the middle square, which leaves out most panels of text. Histology: tiles without
glass. Arrays are float32 in [0, 1], (size, size) for MRI and CT, (size, size, 3) for colour.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medq_engine.ingest.clinical_readers import Frame, Stack, UnusableError, open_stack
from medq_engine.ingest.slides import is_slide, shuffled, tissue_tiles
from medq_engine.readers import FloatImage
from medq_engine.slices import BODY_HU, MARGIN, MIN_BODY, MIN_TISSUE, stained, to_square, window
from medq_engine.vocabulary import Modality

CT_WINDOWS = {"soft": (-160.0, 240.0), "lung": (-1350.0, 150.0)}
"""HU; what is shown of a CT slice whose file names no window (as in data/sources.toml)."""
LUNG_HU = (-950.0, -500.0)
LUNG_SHARE = 0.1
"""Share of the body that must be lung for a view in the lung window."""
AIR_HU = -200.0
"""Numbers that never fall below it are no HU of a body in air."""
BLANK = 0.02
"""Spread of the middle 99 % of the pixels below which a picture is constant, or nearly."""
FIELD = 0.12
"""Brightness that separates a fundus from the black around it."""
SAMPLE = 5
"""Frames from which a volume's scale is taken."""


@dataclass(frozen=True)
class Take:
    """How much of a file is taken, and how large.

    Args:
        size: Width and height of a view, px.
        slices: Frames of a volume, a film or a TIFF of several pages.
        tiles: Tiles of a slide.
        level: Level of a slide's pyramid; 0 is the finest.
    """

    size: int
    slices: int
    tiles: int
    level: int

    @property
    def tile(self) -> int:
        """Side of a histology tile in pixels of the slide: twice the view's, as the manifest's."""
        return 2 * self.size


def take_views(
    path: Path, given: Modality | None, take: Take
) -> tuple[Modality, str, list[FloatImage]]:
    """Modality, patient (in the clear, "" if the file does not say) and views of a file.

    Raises:
        UnusableError: The file is to be quarantined.
        Exception: Whatever the libraries raise on a damaged file.
    """
    if given == "histopathology" and is_slide(path, take.tile):
        tiles = tissue_tiles(path, take.level, take.tile, take.tiles)
        modality, patient, cut = given, "", list(tiles)
        if not cut:
            raise UnusableError("no tissue")
    else:
        stack = open_stack(path)
        modality, patient = given or stack.modality, stack.patient
        if modality is None:
            raise UnusableError("the modality is not known: give --modality")
        if stack.modality not in (None, modality) or not modality:
            raise UnusableError("the header says another modality")
        cut = list((_grey if modality in ("mri", "ct") else _colour)(stack, modality, take))
    views = [to_square(image, take.size) for image in cut if not _blank(image)]
    if not views:
        raise UnusableError("blank")
    return modality, patient, views


def grey_scale(values: FloatImage) -> tuple[float, float]:
    """(low, high) for numbers of no unit: what is bright in the body is near 1, air is 0."""
    low, top = (float(edge) for edge in np.percentile(values, (0.5, 99)))
    body = values[values > low + 0.1 * (top - low)] - low
    if not body.size or top <= low:
        return low, max(top, low + 1)
    # Fat and contrast agent may be so bright that the organs would go dark: they clip instead.
    high = min(1.05 * np.percentile(body, 99.5), 3 * np.median(body))
    return low, low + float(high)


def spread(count: int, wanted: int, shows: Callable[[int], bool]) -> list[int]:
    """Up to `wanted` indices: the middles of equal parts of the range in which `shows` holds."""
    if count == 1:
        return [0]
    first = next((i for i in range(count) if shows(i)), None)
    if first is None:
        return []
    last = next(i for i in range(count - 1, -1, -1) if shows(i))
    edges = np.linspace(first, last + 1, min(wanted, last + 1 - first) + 1)
    return ((edges[:-1] + edges[1:]) / 2).astype(int).tolist()


def _blank(image: FloatImage) -> bool:
    low, high = np.percentile(image, (0.5, 99.5))
    return bool(high - low < BLANK)


def _large_enough(image: FloatImage, take: Take) -> FloatImage:
    """The image, unless it would have to be enlarged to more than twice its side."""
    if 2 * min(image.shape[:2]) < take.size:
        raise UnusableError("too small")
    return image


def _single(values: FloatImage) -> FloatImage:
    """(H, W) of (H, W[, 3])."""
    return values if values.ndim == 2 else values @ np.float32([0.299, 0.587, 0.114])


def _body(values: FloatImage, threshold: float) -> tuple[NDArray[np.bool_], tuple[slice, ...]]:
    """The largest region above a threshold with its holes filled, and its box."""
    labels, count = ndimage.label(values > threshold)
    if not count:
        return np.zeros(values.shape, dtype=bool), (slice(0, 0), slice(0, 0))
    biggest = 1 + int(np.bincount(labels.ravel())[1:].argmax())
    mask = ndimage.binary_fill_holes(labels == biggest)
    return mask, ndimage.find_objects(mask.astype(np.int8))[0]


def _crop(image: FloatImage, box: tuple[slice, ...], take: Take) -> FloatImage:
    """The box with a margin; the whole image where the box is too small to be the body."""
    if 2 * min(edge.stop - edge.start for edge in box) < take.size:
        return image
    cut = []
    for edge, length in zip(box, image.shape, strict=False):
        extra = max(1, round(MARGIN * (edge.stop - edge.start)))
        cut.append(slice(max(edge.start - extra, 0), min(edge.stop + extra, length)))
    return image[tuple(cut)]


def _grey(stack: Stack, modality: Modality, take: Take) -> Iterator[FloatImage]:
    def frame(index: int) -> Frame:
        values, shown = stack.frame(index)
        return Frame(_large_enough(_single(values), take), shown)

    middle = np.linspace(0, stack.count - 1, min(SAMPLE, stack.count)).round().astype(int)
    sample = np.concatenate([frame(int(index)).values.ravel() for index in middle])
    low, high = scale = grey_scale(sample)
    in_hu = modality == "ct" and float(sample.min()) < AIR_HU
    threshold = BODY_HU if in_hu else low + 0.12 * (high - low)
    chosen = spread(
        stack.count,
        take.slices,
        lambda index: _body(frame(index).values, threshold)[0].mean() >= MIN_BODY,
    )
    frames = [frame(index) for index in chosen]
    bodies = [_body(values, threshold) for values, _ in frames]
    boxes = [box for _, box in bodies]
    if len({values.shape for values, _ in frames}) == 1:
        # One box for the volume: a patient's slices keep their relative size.
        joint = tuple(
            slice(min(box[i].start for box in boxes), max(box[i].stop for box in boxes))
            for i in (0, 1)
        )
        boxes = [joint] * len(frames)
    for (values, shown), (mask, _), box in zip(frames, bodies, boxes, strict=True):
        windows = [shown or scale]
        if in_hu and shown is None:
            lung = mask & (values > LUNG_HU[0]) & (values < LUNG_HU[1])
            lungs = lung.sum() > LUNG_SHARE * mask.sum()
            windows = [CT_WINDOWS["soft"], *([CT_WINDOWS["lung"]] if lungs else [])]
        for low, high in windows:
            yield window(_crop(values, box, take), low, max(high, low + 1e-6))


def _colour(stack: Stack, modality: Modality, take: Take) -> Iterator[FloatImage]:
    def image(index: int) -> FloatImage:
        values, shown = stack.frame(index)
        low, high = shown or grey_scale(values)
        shown_values = window(_large_enough(values, take), low, max(high, low + 1e-6))
        if shown_values.ndim == 2:
            return np.repeat(shown_values[..., None], 3, axis=2)
        return shown_values

    if modality == "histopathology":
        yield from _histology(stack.count, image, take)
        return
    for index in spread(stack.count, take.slices, lambda index: not _blank(image(index))):
        picture = image(index)
        if modality == "fundus":
            box = _body(picture.max(axis=-1), FIELD)[1]
            picture = _crop(picture, box, take)
        yield _middle(picture)


def _histology(count: int, image: Callable[[int], FloatImage], take: Take) -> Iterator[FloatImage]:
    """Small pictures whole; large ones, and slides that come as many frames, in tiles of tissue."""
    whole = count == 1 and min(image(0).shape[:2]) < 2 * take.tile
    if whole:
        yield _middle(image(0))
        return
    tiles = (tile for index in shuffled(count) for tile in _grid(image(index), take.tile))
    found = 0
    for tile in tiles:
        if stained(tile) >= MIN_TISSUE:
            yield tile
            found += 1
            if found == take.tiles:
                return
    if not found:
        raise UnusableError("no tissue")


def _grid(image: FloatImage, side: int) -> Iterator[FloatImage]:
    """An image's tiles in shuffled order; an image that is hardly a tile, as it is."""
    rows, columns = (length // side for length in image.shape[:2])
    if min(rows, columns) < 2:
        yield _middle(image)
        return
    for number in shuffled(rows * columns):
        top, left = (side * place for place in divmod(number, columns))
        yield image[top : top + side, left : left + side]


def _middle(image: FloatImage) -> FloatImage:
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]
