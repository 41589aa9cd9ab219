"""Tissue tiles out of a pyramid: where they come from, and how little is read."""

import numpy as np
import pytest
import tifffile

from medq_engine.ingest.clinical_readers import UnusableError
from medq_engine.ingest.slides import is_slide, shuffled, stained, tissue_tiles
from tests.ingest import clinical_files as made


@pytest.fixture
def slide(tmp_path):
    """A pyramid whose left half is tissue."""
    path = tmp_path / "slide.svs"
    path.write_bytes(made.slide(1))
    return path


def test_a_slide_is_tiled_and_large_or_a_pyramid(slide, tmp_path):
    assert is_slide(slide, 48)
    flat, tiled = tmp_path / "flat.tif", tmp_path / "tiled.tif"
    flat.write_bytes(made.tiff(made.colour(1, 200), photometric="rgb"))
    tiled.write_bytes(made.slide(1, levels=1))
    assert not is_slide(flat, 48)
    assert is_slide(tiled, 128)
    assert not is_slide(tiled, 129)


@pytest.mark.parametrize(("level", "side", "tiles"), [(0, 48, 10), (0, 64, 8), (1, 48, 2)])
def test_all_tissue_is_found_and_no_glass(slide, level, side, tiles):
    found = list(tissue_tiles(slide, level, side, 100))
    assert len(found) == tiles
    for tile in found:
        assert tile.shape == (side, side, 3)
        assert stained(tile) >= 0.75


def test_tiles_are_the_pixels_of_the_level(slide):
    with tifffile.TiffFile(slide) as tiff:
        whole = tiff.series[0].levels[0].asarray() / 255
    places = [divmod(n, 5) for n in shuffled(25)]
    kept = [whole[48 * r : 48 * r + 48, 48 * c : 48 * c + 48] for r, c in places if c < 2]
    for tile, expected in zip(tissue_tiles(slide, 0, 48, 4), kept, strict=False):
        assert np.allclose(tile, expected)


def test_little_more_is_read_than_kept(slide, monkeypatch):
    read = []
    real = tifffile.TiffPage.decode.func

    def counting(page):
        decode = real(page)
        return lambda data, index, **how: read.append(index) or decode(data, index, **how)

    monkeypatch.setattr(tifffile.TiffPage, "decode", property(counting))
    assert len(list(tissue_tiles(slide, 0, 64, 2))) == 2
    # Two of the 16 stored tiles and the four of the overview.
    assert len(read) == 2 + 4


def test_a_level_that_is_not_there_and_a_cut_slide_are_refused(slide):
    with pytest.raises(UnusableError, match="no such level"):
        next(tissue_tiles(slide, 5, 48, 1))
    slide.write_bytes(slide.read_bytes()[:-2000])
    with pytest.raises(EOFError):
        list(tissue_tiles(slide, 0, 48, 100)) + list(tissue_tiles(slide, 1, 48, 100))
