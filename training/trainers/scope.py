"""Learning what a model is made for: which feature vectors it has seen, and how near others of their kind come."""

import numpy as np

from predictions.predictors.scope import FEWEST_REFERENCES, Scope, unit

MOST = 4000  # vectors kept in a bundle: 4 MB at 512 features


def learn(train: np.ndarray, held_out: np.ndarray) -> Scope | None:
    """Return the scope of a model, or None where too few were held out to say what is usual.

    The same vectors in the same order give the same bytes. Of more than MOST, evenly spread ones stay: they come sorted
    by the digest of their picture, so that is as good as a draw (Sun et al. 2022 lose little with one in a hundred).

    Args:
        train: feature vectors that the model learned from, shape (N, D).
        held_out: those of the validation split, shape (M, D).
    """
    if len(held_out) < FEWEST_REFERENCES:
        return None
    kept = train[np.linspace(0, len(train) - 1, min(len(train), MOST)).astype(int)]
    scope = Scope(unit(kept).astype(np.float16).astype(np.float32), np.empty(0, np.float32))
    return Scope(scope.learned, np.sort(scope.similarity(held_out)).astype(np.float32))
