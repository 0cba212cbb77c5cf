"""The nearest of many feature vectors by exact cosine, block by block: memory for one block."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from training.features.cache import FeatureCache

VectorBlock = tuple[Sequence[str], np.ndarray]


@dataclass(frozen=True)
class Neighbour:
    """A sample by its digest, and the cosine of its feature vector with the one asked about."""

    sha256: str
    cosine: float


@dataclass(frozen=True)
class Neighbourhood:
    """The nearest samples, the nearest first, out of so many that were compared."""

    nearest: list[Neighbour]
    compared: int


def find_nearest(vector: np.ndarray, blocks: Iterable[VectorBlock], count: int) -> Neighbourhood:
    """Return the `count` nearest of all vectors; of equally near ones the lower digest.

    Args:
        vector: shape (D,).
        blocks: digests and their vectors, shape (N, D); no digest twice.
    """
    asked = vector.astype(np.float32) / max(float(np.linalg.norm(vector)), 1e-12)
    nearest: list[Neighbour] = []
    compared = 0
    for samples, matrix in blocks:
        lengths = np.maximum(np.linalg.norm(matrix, axis=1), 1e-12)
        cosines = (matrix @ asked) / lengths
        compared += len(samples)
        rows: Sequence[int] = range(len(samples))
        if len(samples) > count:
            # All that are as near as the last of them, or equals would depend on their order
            least = np.partition(cosines, -count)[-count]
            rows = np.flatnonzero(cosines >= least).tolist()
        nearest += [Neighbour(samples[row], float(cosines[row])) for row in rows]
        nearest = sorted(nearest, key=lambda each: (-each.cosine, each.sha256))[:count]
    return Neighbourhood(nearest, compared)


def find_nearest_cached(
    cache: FeatureCache, vector: np.ndarray, samples: Iterable[str], count: int
) -> Neighbourhood:
    """Return the nearest of those samples whose vectors are cached."""
    return find_nearest(vector, cache.iter_blocks(samples), count)
