"""Near-duplicates: perceptual hashes for images, TF-IDF for texts (as the paper)."""

from collections.abc import Sequence

import imagehash
import numpy as np
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer


def perceptual_hashes(images: Sequence[Image.Image]) -> np.ndarray:
    """pHash of each image (DCT, 8 x 8) as bits, shape (images, 64), bool."""
    return np.array([imagehash.phash(image).hash.ravel() for image in images]).reshape(-1, 64)


def to_hex(hashes: np.ndarray) -> list[str]:
    """Hashes as 16 hex digits each, the form in which tables hold them."""
    return [np.packbits(row).tobytes().hex() for row in hashes]


def from_hex(texts: Sequence[str]) -> np.ndarray:
    """The inverse of `to_hex`: shape (hashes, 64), bool."""
    rows = [np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8)) for text in texts]
    return np.array(rows, dtype=bool).reshape(-1, 64)


def nearest_bits(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Least Hamming distance of each hash to any of `others`, shape (hashes,); 64 if none."""
    if not len(others):
        return np.full(len(hashes), 64)
    a, b = hashes.astype(np.float32), others.astype(np.float32)
    distance = a.sum(1)[:, None] + b.sum(1)[None] - 2 * a @ b.T
    return np.round(distance.min(1)).astype(int)


def duplicates(hashes: np.ndarray, texts: Sequence[str], bits: int, similarity: float) -> list[int]:
    """Positions of rows that repeat an earlier one in image (`bits`) and text (`similarity`).

    Both must hold: two readings of one picture differ in text, and two pictures with one fault are
    rightly described in the same words.
    """
    if len(texts) < 2:
        return []
    words = TfidfVectorizer().fit_transform(texts)
    a = hashes.astype(np.float32)
    near = a.sum(1)[:, None] + a.sum(1)[None] - 2 * a @ a.T <= bits + 0.5
    dropped: set[int] = set()
    for row, other in np.argwhere(np.triu(near, 1)):
        if row not in dropped and float((words[row] @ words[other].T).sum()) >= similarity:
            dropped.add(int(other))
    return sorted(dropped)
