"""Tissue tiles out of a pyramidal, tiled TIFF (as SVS is), without reading the slide as a whole.

Tiles are tried in a shuffled order that depends on the grid alone, until enough of them show
tissue: so they come from all over the slide, and seldom is more read than is kept. A smaller level
of the pyramid, where there is one, spares the reading of glass.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from medq_engine.ingest.clinical_readers import TIFF, UnusableError, require_whole
from medq_engine.readers import FloatImage
from medq_engine.slices import MIN_TISSUE, stained

OVERVIEW = 16_000_000
"""Pixels of the largest level that is read whole, to find the tissue."""


def shuffled(count: int) -> list[int]:
    """0 ... count - 1 in an order that is always the same for a count."""
    return np.random.default_rng(count).permutation(count).tolist()


def is_slide(path: Path, side: int) -> bool:
    """Whether a TIFF is tiled and either has several levels or is several views wide and high."""
    if path.suffix.lower() not in TIFF:
        return False
    with tifffile.TiffFile(path) as tiff:
        levels = tiff.series[0].levels
        page = levels[0].keyframe
        wide = min(page.imagewidth, page.imagelength) >= 2 * side
        return bool(page.is_tiled and (len(levels) > 1 or wide))


def tissue_tiles(path: Path, level: int, side: int, count: int) -> Iterator[FloatImage]:
    """Up to `count` tiles of (side, side, 3) in [0, 1] with tissue on MIN_TISSUE of their area.

    Args:
        path: A tiled TIFF of 8-bit RGB, in whatever compression imagecodecs knows.
        level: Of the pyramid; 0 is the finest.
        side: In pixels of that level.
        count: At most so many.

    Raises:
        UnusableError: The slide has no such level, or its pixels are not 8-bit RGB.
        EOFError: It is cut short.
    """
    with tifffile.TiffFile(path) as tiff:
        levels = tiff.series[0].levels
        if level >= len(levels):
            raise UnusableError("the slide has no such level")
        page = levels[level].keyframe
        if page.samplesperpixel < 3 or page.planarconfig != 1 or page.bitspersample != 8:
            raise UnusableError("a slide of other colours than 8-bit RGB")
        require_whole(tiff, page)
        rows, columns = page.imagelength // side, page.imagewidth // side
        small = levels[-1].keyframe
        overview = None
        if len(levels) > level + 1 and small.imagewidth * small.imagelength <= OVERVIEW:
            require_whole(tiff, small)
            overview = small.asarray()[..., :3].astype(np.float32) / 255
        found = 0
        for number in shuffled(rows * columns):
            row, column = divmod(number, columns)
            if overview is not None:
                scale = np.array(overview.shape[:2]) / (page.imagelength, page.imagewidth)
                top, left = np.floor(np.array([row, column]) * side * scale).astype(int)
                high, wide = np.maximum(np.ceil(side * scale), 1).astype(int)
                # Half of what is asked for: at the edge of the tissue the overview is blurred.
                if stained(overview[top : top + high, left : left + wide]) < MIN_TISSUE / 2:
                    continue
            tile = _region(tiff, page, row * side, column * side, side)
            if stained(tile) >= MIN_TISSUE:
                yield tile
                found += 1
                if found == count:
                    return


def _region(
    tiff: tifffile.TiffFile, page: tifffile.TiffPage, top: int, left: int, side: int
) -> FloatImage:
    """The square at (top, left) of a page, put together from the stored tiles that it touches."""
    region = np.ones((side, side, 3), dtype=np.float32)
    across = -(-page.imagewidth // page.tilewidth)
    for row in range(top // page.tilelength, (top + side - 1) // page.tilelength + 1):
        for column in range(left // page.tilewidth, (left + side - 1) // page.tilewidth + 1):
            index = row * across + column
            size = page.databytecounts[index]
            # A slide may leave out tiles of mere glass.
            if not size:
                continue
            tiff.filehandle.seek(page.dataoffsets[index])
            data = tiff.filehandle.read(size)
            stored = page.decode(data, index, jpegtables=page.jpegtables)[0]
            pixels = stored[0, ..., :3].astype(np.float32) / 255
            y, x = row * page.tilelength - top, column * page.tilewidth - left
            into = region[max(y, 0) : y + pixels.shape[0], max(x, 0) : x + pixels.shape[1]]
            part = pixels[max(-y, 0) :, max(-x, 0) :][: into.shape[0], : into.shape[1]]
            into[:] = part
    return region
