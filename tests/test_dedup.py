import numpy as np
import pytest
from PIL import Image

from medq_engine.dedup import duplicates, from_hex, nearest_bits, perceptual_hashes, to_hex


def bits(*flipped: int) -> np.ndarray:
    row = np.zeros(64, bool)
    row[list(flipped)] = True
    return row


def test_the_hash_of_a_picture_survives_brightness_and_not_another_picture():
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 200, (2, 6, 6), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    first, other = (Image.fromarray(array) for array in blocks)
    brighter = Image.fromarray(blocks[0] + 20)
    hashes = perceptual_hashes([first, brighter, other])
    assert hashes.shape == (3, 64)
    assert (hashes[0] != hashes[1]).sum() < 10
    assert (hashes[0] != hashes[2]).sum() > 20


def test_hashes_survive_the_way_through_hex():
    hashes = np.random.default_rng(0).random((5, 64)) < 0.5
    texts = to_hex(hashes)
    assert all(len(text) == 16 for text in texts)
    assert np.array_equal(from_hex(texts), hashes)
    assert from_hex([]).shape == (0, 64)
    assert perceptual_hashes([]).shape == (0, 64)


def test_nearest_bits_is_the_least_hamming_distance():
    hashes = np.array([bits(), bits(1, 2, 3)])
    others = np.array([bits(1), bits(1, 2, 3, 4, 5)])
    assert nearest_bits(hashes, others).tolist() == [1, 2]
    assert nearest_bits(hashes, others[:0]).tolist() == [64, 64]


@pytest.mark.parametrize(
    ("second_hash", "second_text", "dropped"),
    [
        (bits(), "severe metal streak", [1]),
        (bits(), "no degradation is visible", []),
        (bits(*range(20)), "severe metal streak", []),
        (bits(*range(20)), "no degradation is visible", []),
    ],
    ids=["both the same", "other text", "other image", "both other"],
)
def test_a_duplicate_repeats_image_and_text(second_hash, second_text, dropped):
    hashes = np.array([bits(), second_hash])
    assert duplicates(hashes, ["severe metal streak", second_text], 0, 0.95) == dropped


@pytest.mark.parametrize(("allowed", "dropped"), [(2, []), (3, [1]), (4, [1])])
def test_images_within_the_bits_count_as_one(allowed, dropped):
    hashes = np.array([bits(), bits(7, 8, 9)])
    assert duplicates(hashes, ["same words", "same words"], allowed, 0.95) == dropped


def test_the_first_of_many_stays():
    assert duplicates(np.array([bits()] * 4), ["same words"] * 4, 0, 0.95) == [1, 2, 3]


def test_a_dropped_row_drops_nobody_else():
    # b is near a, c is near b but not near a: with b gone, nothing like c is left.
    hashes = np.array([bits(), bits(1, 2), bits(1, 2, 3, 4)])
    assert duplicates(hashes, ["same words"] * 3, 2, 0.95) == [1]


@pytest.mark.parametrize("rows", [0, 1])
def test_nothing_repeats_in_a_table_of_one(rows):
    assert duplicates(np.array([bits()] * rows).reshape(-1, 64), ["text"] * rows, 0, 0.95) == []
