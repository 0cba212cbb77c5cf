"""How much a picture looks like anything that its model has learned, by its feature vector.

A softmax shares out all of its probability, also over a picture that is of no category at all. Its
feature vector tells more: what is unlike everything learned lies far from all of it.
"""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

NEIGHBOURS = 10
# Of the pictures that the model is made for, so many abstain for being unlike all others
REJECTION_LEVEL = 0.05
# pictures; for so few, waking the threads of a BLAS costs more CPU than the products themselves
ONE_BY_ONE = 8
MAX_LEARNED = 4000  # vectors kept in a bundle: 4 MB at 512 features
MIN_REFERENCES = 19  # below, not even the farthest picture could be told to be among the last 5 %


@dataclass(frozen=True)
class OutOfDistributionDetector:
    """What was learned from, as directions, and how near held-out pictures come to it.

    `learned` is of shape (N, D), rows of unit length, float32 (stored as float16); `references` of
    shape (M,), in rising order: the similarities of M held-out pictures.

    The similarity of a picture is the cosine between its feature vector and the `neighbours`-th
    nearest of those learned from. Its familiarity is the share of held-out pictures that are no
    more similar, the picture itself counted among them: a conformal p-value, so of pictures like
    the held-out ones at most a share of `a` has a familiarity up to `a`.

    Sources: Sun et al. 2022, "Out-of-distribution detection with deep nearest neighbors",
    arXiv:2204.06507 (the similarity); Bates et al. 2023, "Testing for outliers with conformal
    p-values", arXiv:2104.08279, equation 3.
    """

    learned: np.ndarray
    references: np.ndarray
    neighbours: int = NEIGHBOURS

    @classmethod
    def fit(
        cls, train: tuple[np.ndarray, np.ndarray], held_out: np.ndarray
    ) -> "OutOfDistributionDetector | None":
        """Return the detector of a model, or None where too few were held out to say what is usual.

        The same vectors in the same order give the same bytes. Of more than MAX_LEARNED, evenly
        spread ones stay: they come sorted by the digest of their picture, so that is as good as a
        draw (Sun et al. 2022 lose little with one in a hundred).

        Args:
            train: feature vectors that the model learned from, shape (N, D), and their labels,
                shape (N,), or (N, K) of 0 and 1.
            held_out: those of the validation split, shape (M, D).
        """
        if len(held_out) < MIN_REFERENCES:
            return None
        fitted = cls.fit_without_references(*train)
        references = np.sort(fitted.similarity(held_out)).astype(np.float32)
        return replace(fitted, references=references)

    @classmethod
    def fit_without_references(
        cls, features: np.ndarray, labels: np.ndarray
    ) -> "OutOfDistributionDetector":
        """Return a detector that knows similarities only."""
        kept = np.linspace(0, len(features) - 1, min(len(features), MAX_LEARNED)).astype(int)
        if labels.ndim == 2:
            counts = labels[kept].sum(axis=0)
        else:
            _labels, counts = np.unique(labels[kept], return_counts=True)
        # Half of the smallest category must be as near as that: with more neighbours than it has
        # pictures, a new category would itself be unlike all that was learned.
        neighbours = max(1, min(NEIGHBOURS, int(counts.min()) // 2))
        # Rounded as they are stored, so that a stored detector gives the same numbers.
        return cls(
            unit_rows(features[kept]).astype(np.float16).astype(np.float32),
            np.empty(0, np.float32),
            neighbours,
        )

    def similarity(self, features: np.ndarray) -> np.ndarray:
        """Return the cosine to the `neighbours`-th nearest, shape (N,), for (N, D)."""
        neighbours = min(self.neighbours, len(self.learned))  # with fewer, to the farthest
        asked = unit_rows(features)
        few = len(asked) <= ONE_BY_ONE
        cosines = np.einsum("nd,md->nm", asked, self.learned) if few else asked @ self.learned.T
        return np.partition(cosines, -neighbours, axis=1)[:, -neighbours]

    def p_values(self, features: np.ndarray) -> np.ndarray:
        """Return numbers in (0, 1], shape (N,), for feature vectors of shape (N, D).

        Up to REJECTION_LEVEL is out of distribution.
        """
        # The picture itself counts as one of the references: hence one more above and below.
        no_nearer = np.searchsorted(self.references, self.similarity(features), side="right")
        return (no_nearer + 1) / (len(self.references) + 1)

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        np.savez(
            buffer,
            learned=self.learned.astype(np.float16),
            references=self.references,
            neighbours=np.int64(self.neighbours),
        )
        return buffer.getvalue()

    @classmethod
    def from_file(cls, path: Path) -> "OutOfDistributionDetector":
        """Read what `to_bytes` wrote. Raises ValueError or KeyError for anything else."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(
                stored["learned"].astype(np.float32),
                stored["references"],
                int(stored["neighbours"]),
            )


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Return every row at length one, float32; a row of zeros stays as it is."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.maximum(lengths, 1e-12)).astype(np.float32)
