"""Learning what a model is made for: which feature vectors it has seen, and how near others of
their kind come.
"""

from dataclasses import replace

import numpy as np

from predictions.predictors.local.ood_detector import (
    MIN_REFERENCES,
    NEIGHBOURS,
    OutOfDistributionDetector,
    unit_rows,
)

MOST = 4000  # vectors kept in a bundle: 4 MB at 512 features


def learn(
    train: tuple[np.ndarray, np.ndarray], held_out: np.ndarray
) -> OutOfDistributionDetector | None:
    """Return the scope of a model, or None where too few were held out to say what is usual.

    The same vectors in the same order give the same bytes. Of more than MOST, evenly spread ones
    stay: they come sorted by the digest of their picture, so that is as good as a draw (Sun et al.
    2022 lose little with one in a hundred).

    Args:
        train: feature vectors that the model learned from, shape (N, D), and their labels, shape
            (N,), or (N, K) of 0 and 1.
        held_out: those of the validation split, shape (M, D).
    """
    if len(held_out) < MIN_REFERENCES:
        return None
    scope = without_references(*train)
    return replace(scope, references=np.sort(scope.similarity(held_out)).astype(np.float32))


def without_references(features: np.ndarray, labels: np.ndarray) -> OutOfDistributionDetector:
    """Return a scope that knows similarities only; its numbers are rounded as they are stored.

    Half of the smallest category must be as near as that: with more neighbours than it has
    pictures, a new category would itself be unlike all that was learned.
    """
    kept = np.linspace(0, len(features) - 1, min(len(features), MOST)).astype(int)
    if labels.ndim == 2:
        counts = labels[kept].sum(axis=0)
    else:
        _labels, counts = np.unique(labels[kept], return_counts=True)
    neighbours = max(1, min(NEIGHBOURS, int(counts.min()) // 2))
    return OutOfDistributionDetector(
        unit_rows(features[kept]).astype(np.float16).astype(np.float32),
        np.empty(0, np.float32),
        neighbours,
    )
