"""Counting the answers of a model whose categories do not exclude each other.

A picture is given every category whose probability reaches THRESHOLD; the answer is right if that
is exactly what it shows. Precision and recall are of each category by itself.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from training.evaluation.counts import CategoryCounts

MULTILABEL_THRESHOLD = 0.5


def label_matrix(shown: Sequence[Collection[str]], names: Sequence[str]) -> np.ndarray:
    """Return which of the K names each of N pictures shows, bool, shape (N, K)."""
    found = [[name in those for name in names] for those in shown]
    return np.array(found, dtype=bool).reshape(len(shown), len(names))


def count_multilabel(
    scores: np.ndarray,
    model_names: Sequence[str],
    shown: Mapping[int, Collection[str]],
    names: Sequence[str],
) -> tuple[CategoryCounts, dict[int, bool]]:
    """Return how often each of `names` was named, rightly, and true; and of each picture whether
    all was right.

    Args:
        scores: probabilities, shape (N, C).
        model_names: the C names of the model's classes.
        shown: what each of the N pictures shows, by its id.
        names: of what to count, the model's classes and perhaps others: a model never names those.
    """
    told = [
        {
            name
            for name, value in zip(model_names, row, strict=True)
            if value >= MULTILABEL_THRESHOLD
        }
        for row in scores
    ]
    truth, named = label_matrix(list(shown.values()), names), label_matrix(told, names)
    right = {pk: said == set(those) for (pk, those), said in zip(shown.items(), told, strict=True)}
    return CategoryCounts((truth & named).sum(axis=0), named.sum(axis=0), truth.sum(axis=0)), right
