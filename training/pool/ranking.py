"""In which order unlabelled pictures are worth a label, told by their feature vectors.

With few labels typical pictures teach most: TypiClust clusters all pictures and takes the most
typical one of each cluster that has no label yet. Source: Hacohen, Dekel and Weinshall 2022,
"Active learning on a budget: opposite strategies suit high and low budgets", arXiv:2202.02794. With
more of them those teach most that lie near the border of two classes: the smallest margins. Nobody
knows beforehand how many is few, so both take turns, which was measured to do best: see
bench/README.md.
"""

from itertools import zip_longest

import numpy as np

NEIGHBOURS = 20  # by which a picture is typical
MIN_CLUSTER = 5  # on average; typicality among fewer says nothing
MAX_CLUSTERS = 500
ITERATIONS = 10
ROUND = 20  # labels after which the pictures are clustered anew
BLOCK = 2048  # rows whose distances are in memory at once


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Return the rows, shape (N, D), at unit length; a row of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)


def most_instructive_first(
    vectors: np.ndarray,
    is_labelled: np.ndarray,
    margin_of: np.ndarray | None,
    count: int,
    rng: np.random.Generator,
) -> list[int]:
    """Return up to `count` rows without a label: a typical one and an uncertain one in turn.

    They are found in rounds, each as if those before had a label, so that its clusters are new.

    Args:
        vectors, is_labelled: see `typical_first`.
        margin_of: see `margins`, shape (N,); NaN where it is unknown. None: there is no model yet,
            and all are typical ones.
    """
    taken, chosen = is_labelled.copy(), list[int]()
    while len(chosen) < count:
        more = _one_round(vectors, taken, margin_of, min(ROUND, count - len(chosen)), rng)
        if not more:
            break
        chosen += more
        taken[more] = True
    return chosen


def _one_round(
    vectors: np.ndarray,
    taken: np.ndarray,
    margin_of: np.ndarray | None,
    count: int,
    rng: np.random.Generator,
) -> list[int]:
    if margin_of is None:
        return typical_first(vectors, taken, count, rng)
    typical = typical_first(vectors, taken, count - count // 2, rng)
    is_open = ~taken & ~np.isnan(margin_of)
    is_open[typical] = False
    known = np.flatnonzero(is_open)
    uncertain = known[np.argsort(margin_of[known], kind="stable")][: count // 2].tolist()
    pairs = zip_longest(typical, uncertain)
    return [row for pair in pairs for row in pair if row is not None]


def typical_first(
    vectors: np.ndarray, is_labelled: np.ndarray, count: int, rng: np.random.Generator
) -> list[int]:
    """Return up to `count` rows without a label, the one most worth a label first.

    Clusters come in turn, those with the fewest labels first and of these the largest.

    Args:
        vectors: of all pictures, labelled or not, shape (N, D), at unit length.
        is_labelled: shape (N,), bool.
    """
    open_rows = np.flatnonzero(~is_labelled)
    if not len(open_rows) or count < 1:
        return []
    wanted = int(is_labelled.sum()) + count
    clusters = cluster(vectors, min(wanted, MAX_CLUSTERS, len(vectors) // MIN_CLUSTER + 1), rng)
    labels = np.bincount(clusters[is_labelled], minlength=clusters.max() + 1)
    sizes = np.bincount(clusters, minlength=clusters.max() + 1)
    queues = [
        _most_typical_first(vectors, rows)
        for place in np.lexsort((-sizes, labels))
        if len(rows := open_rows[clusters[open_rows] == place])
    ]
    # The first of each cluster, then the second of each, and so on
    longest = max(map(len, queues))
    in_turn = (queue[turn] for turn in range(longest) for queue in queues if turn < len(queue))
    return [row for row, _number in zip(in_turn, range(count), strict=False)]


def margins(probabilities: np.ndarray) -> np.ndarray:
    """Return how far the two most probable classes of each picture are apart, shape (N,).

    A picture with a small margin lies near the border of two classes. Source: Scheffer, Decomain
    and Wrobel 2001, "Active hidden Markov models for information extraction".

    Args:
        probabilities: shape (N, K), K at least 2.
    """
    top = np.partition(probabilities, -2, axis=1)
    return top[:, -1] - top[:, -2]


def entropies(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy of each row of probabilities, in nats, shape (N,)."""
    certain = np.clip(probabilities, 1e-12, 1)
    return -(certain * np.log(certain)).sum(axis=1)


def cluster(vectors: np.ndarray, clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Return the cluster of each row, shape (N,), by k-means (k-means++, some iterations).

    Args:
        vectors: shape (N, D), at unit length.
    """
    centres = _spread_centres(vectors, min(clusters, len(vectors)), rng)
    nearest = _nearest(vectors, centres)
    for _iteration in range(ITERATIONS):
        order = np.argsort(nearest, kind="stable")
        present, starts = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(vectors[order], starts, axis=0)
        centres[present] = sums / np.diff([*starts, len(order)])[:, None]
        before, nearest = nearest, _nearest(vectors, centres)
        if np.array_equal(before, nearest):
            break
    return nearest


def _most_typical_first(vectors: np.ndarray, rows: np.ndarray) -> list[int]:
    """Return rows of a cluster by their mean distance to their nearest neighbours within it."""
    among = max(1, min(NEIGHBOURS, len(rows) // 2))
    if len(rows) <= 2:
        return rows.tolist()
    distances = np.empty(len(rows))
    inside = vectors[rows]
    for start in range(0, len(rows), BLOCK):
        squared = 2 - 2 * inside[start : start + BLOCK] @ inside.T
        # The nearest of all is the row itself
        near = np.partition(np.maximum(squared, 0), among, axis=1)[:, : among + 1]
        distances[start : start + BLOCK] = np.sqrt(near).sum(axis=1) / among
    return rows[np.argsort(distances, kind="stable")].tolist()


def _spread_centres(vectors: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows that are likely to lie apart. Source: Arthur and Vassilvitskii 2007."""
    chosen = [int(rng.integers(len(vectors)))]
    squared = np.full(len(vectors), np.inf)
    while len(chosen) < count:
        squared = np.minimum(squared, np.maximum(2 - 2 * vectors @ vectors[chosen[-1]], 0))
        total = squared.sum()
        if total <= 1e-9:  # the others are the same pictures again
            break
        chosen.append(int(np.searchsorted(np.cumsum(squared), rng.random() * total)))
    return vectors[np.minimum(chosen, len(vectors) - 1)].copy()


def _nearest(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    lengths = np.square(centres).sum(axis=1)
    blocks = (
        (lengths - 2 * vectors[start : start + BLOCK] @ centres.T).argmin(axis=1)
        for start in range(0, len(vectors), BLOCK)
    )
    return np.concatenate(list(blocks))
