"""Perceptual hashes: 64 bits that hardly change when a picture is scaled, re-encoded or brightened.

Two kinds together, as what deceives one seldom deceives the other: by which of two neighbouring
areas is brighter (dHash), and by the lowest frequencies of the cosine transform (pHash).

Source: Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions"; dHash:
Krawetz 2013, "Kind of Like That".
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
from PIL import Image

SIDE = 32  # pixels that a picture is reduced to
BITS = 8  # per side of a hash
FLAT = 4.0  # deviation of brightness, of 255, below which noise alone decides the bits
# How many of the 64 bits may differ, of both hashes together; bench/README.md has what follows
MOST_BITS = 14
ROWS_AT_ONCE = 64  # compared with all others at once

Hashes = np.ndarray  # uint64, shape (N, 2): dHash and pHash


def perceptual_hashes(picture: Image.Image) -> tuple[int, int] | None:
    """Return the dHash and the pHash of a picture; None of one that shows next to nothing."""
    grey = picture.convert("L")
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
    if small.std() < FLAT:
        return None
    coarse = np.asarray(grey.resize((BITS + 1, BITS), Image.Resampling.BOX), np.int16)
    transform = _cosines()
    low = (transform @ small @ transform.T)[:BITS, :BITS].ravel()
    # The first number is the mean brightness, which would outweigh the others
    return _packed((coarse[:, 1:] > coarse[:, :-1]).ravel()), _packed(low > np.median(low[1:]))


def nearest_pairs(hashes: Hashes, new: np.ndarray, *, links: int) -> Iterator[tuple[int, int, int]]:
    """Yield (row, other row, differing bits) of what looks the same, `links` of a row at most.

    Only the nearest few, so that a thousand pictures of the same thing make no million of pairs;
    they are still connected. Memory is bounded by `ROWS_AT_ONCE` rows against all.

    Args:
        hashes: of all pictures.
        new: the rows that were not compared yet, in rising order: each is compared with all old
            ones and with the new ones before it.
    """
    is_new = np.zeros(len(hashes), bool)
    is_new[new] = True
    places = np.arange(len(hashes))
    for start in range(0, len(new), ROWS_AT_ONCE):
        rows = new[start : start + ROWS_AT_ONCE]
        differing = np.zeros((len(rows), len(hashes)), np.uint8)
        for kind in range(2):
            differing += np.bitwise_count(hashes[rows, None, kind] ^ hashes[None, :, kind])
        differing[is_new[None, :] & (places[None, :] >= rows[:, None])] = 255
        for place in np.flatnonzero((differing <= MOST_BITS).any(axis=1)):
            close = np.flatnonzero(differing[place] <= MOST_BITS)
            nearest = close[np.argsort(differing[place, close], kind="stable")][:links]
            for other in nearest:
                yield int(rows[place]), int(other), int(differing[place, other])


@cache
def _cosines() -> np.ndarray:
    """Return the matrix of the discrete cosine transform, DCT-II, without its scaling."""
    frequency, position = np.arange(SIDE)[:, None], np.arange(SIDE)[None, :]
    return np.cos(np.pi * frequency * (2 * position + 1) / (2 * SIDE))


def _packed(bits: np.ndarray) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
