"""How alike samples look: by feature vectors, which only an app above has.

It registers a function when it starts; this app asks it and knows none by name, just as
`predictions.holds` asks conditions that it does not know.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from predictions.models import Project

Vectors = Mapping[str, np.ndarray]  # a sample's SHA-256 to its feature vector
VectorSource = Callable[[Project, Sequence[str]], Vectors]

CLOSE = 0.75  # cosine of two feature vectors from which two samples look alike

_sources: list[VectorSource] = []


def vector_source(source: VectorSource) -> VectorSource:
    """Register where vectors are at hand; it returns those that it has, within a second."""
    _sources.append(source)
    return source


def known_vectors(project: Project, digests: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the vectors of those samples that have one, all of the same length."""
    found: dict[str, np.ndarray] = {}
    for source in _sources:
        found = {**source(project, digests), **found}
    return found


def cluster_alike(vectors: np.ndarray, least_cosine: float = CLOSE) -> np.ndarray:
    """Return the cluster of each row, shape (N,): a row joins the first that it is alike.

    The first row of a cluster stands for it, so that a chain of small steps joins no strangers.

    Args:
        vectors: shape (N, D).
    """
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    unit = vectors / lengths
    leaders: list[int] = []
    clusters = np.empty(len(vectors), np.int64)
    for row, vector in enumerate(unit):
        cosines = unit[leaders] @ vector
        best = int(cosines.argmax()) if leaders else -1
        if best >= 0 and cosines[best] >= least_cosine:
            clusters[row] = best
        else:
            clusters[row] = len(leaders)
            leaders.append(row)
    return clusters
