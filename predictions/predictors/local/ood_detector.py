"""How much a picture looks like anything that its model has learned, by its feature vector.

A softmax shares out all of its probability, also over a picture that is of no category at all. Its
feature vector tells more: what is unlike everything learned lies far from all of it.
"""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

NEIGHBOURS = 3
# Of the pictures that the model is made for, so many abstain for being unlike all others
REJECTION_LEVEL = 0.05
# pictures; for so few, waking the threads of a BLAS costs more CPU than the products themselves
ONE_BY_ONE = 8
FARTHEST = 0.2  # the tolerance of a part is the mean distance of this share of the learned pictures
MAX_LEARNED = 4000  # vectors kept in a bundle: 4 MB at 512 features
MIN_REFERENCES = 19  # below, not even the farthest picture could be told to be among the last 5 %

# Where the outputs of one layer begin and end in a feature vector; a part has those of some layers
Span = tuple[int, int]
Part = tuple[Span, ...]


@dataclass(frozen=True)
class OutOfDistributionDetector:
    """What was learned from, as directions, and how near other pictures like it come.

    `learned` is of shape (N, D), rows of `directions`, float32 (stored as float16); `references` of
    shape (M,), in rising order: the similarities of M pictures to those that they are not among.

    The similarity of a picture is the cosine between its feature vector and the `neighbours`-th
    nearest of those learned from. Where a vector has several `parts`, such as what early and what
    late layers see, a picture is as unlike as it is in the worst of them: the similarity is the
    least of (cosine - 1) / tolerance, by a tolerance for each part (`tolerances`), so that -1 is
    about the edge of what is usual. A blurred dish differs in early layers and a cat in late ones;
    one cosine over all of them hides the first.

    The familiarity is the share of references that are no more similar, the picture itself counted
    among them: a conformal p-value, so of pictures like the references at most a share of `a` has
    a familiarity up to `a`.

    Sources: Sun et al. 2022, "Out-of-distribution detection with deep nearest neighbors",
    arXiv:2204.06507 (the similarity); Haroush et al. 2022, "A statistical framework for efficient
    out of distribution detection in deep neural networks", arXiv:2102.12967 (several layers, each
    against what is usual in it); Bates et al. 2023, "Testing for outliers with conformal p-values",
    arXiv:2104.08279, equation 3.
    """

    learned: np.ndarray
    references: np.ndarray
    neighbours: int = NEIGHBOURS
    parts: tuple[Part, ...] = ()  # none: the whole vector
    tolerances: np.ndarray | None = None

    @classmethod
    def fit(
        cls,
        train: tuple[np.ndarray, np.ndarray],
        held_out: np.ndarray,
        *,
        parts: tuple[Part, ...] = (),
        leave_one_out: bool = False,
    ) -> "OutOfDistributionDetector | None":
        """Return the detector of a model, or None where there are too few to say what is usual.

        The same vectors in the same order give the same bytes. Of more than MAX_LEARNED, evenly
        spread ones stay: they come sorted by the digest of their picture, so that is as good as a
        draw (Sun et al. 2022 lose little with one in a hundred).

        Args:
            train: feature vectors that the model learned from, shape (N, D), and their labels,
                shape (N,), or (N, K) of 0 and 1.
            held_out: those of the validation split, shape (M, D).
            parts: of a vector, see the class.
            leave_one_out: those learned from are references as well, each compared with all others
                (Barber et al. 2021, arXiv:1905.02928). By held-out ones alone, of which there are
                few, the threshold varies too much. Only for a network that has not itself learned
                from these pictures: to one that has they look nearer than any new one.
        """
        features, labels = _spread_evenly(*train)
        fitted = cls.fit_without_references(features, labels, parts=parts)
        references = [fitted.similarity(held_out)]
        if leave_one_out:
            asked = directions(features, parts)
            references.append(fitted._combine(fitted._nearest(asked, left_out=True)))
        similarities = np.sort(np.concatenate(references)).astype(np.float32)
        if len(similarities) < MIN_REFERENCES:
            return None
        return replace(fitted, references=similarities)

    @classmethod
    def fit_without_references(
        cls, features: np.ndarray, labels: np.ndarray, *, parts: tuple[Part, ...] = ()
    ) -> "OutOfDistributionDetector":
        """Return a detector that knows similarities only."""
        features, labels = _spread_evenly(features, labels)
        if labels.ndim == 2:
            counts = labels.sum(axis=0)
        else:
            _labels, counts = np.unique(labels, return_counts=True)
        # Half of the smallest category must be as near as that: with more neighbours than it has
        # pictures, a new category would itself be unlike all that was learned.
        neighbours = max(1, min(NEIGHBOURS, int(counts.min()) // 2))
        # Rounded as they are stored, so that a stored detector gives the same numbers.
        rows = directions(features, parts)
        learned = rows.astype(np.float16).astype(np.float32)
        fitted = cls(learned, np.empty(0, np.float32), neighbours, parts)
        if not parts:
            return fitted
        distances = np.sort(1 - fitted._nearest(rows, left_out=True), axis=1)
        # A mean, as one quantile of a hundred pictures would vary from draw to draw
        far = distances[:, int(len(rows) * (1 - FARTHEST)) :].mean(axis=1)
        return replace(fitted, tolerances=np.maximum(far, 1e-6).astype(np.float32))

    def similarity(self, features: np.ndarray) -> np.ndarray:
        """Return how similar the nearest are, shape (N,), for feature vectors of shape (N, D)."""
        return self._combine(self._nearest(directions(features, self.parts)))

    def _nearest(self, asked: np.ndarray, *, left_out: bool = False) -> np.ndarray:
        """Return by part the cosine to the `neighbours`-th nearest, shape (parts, N).

        With `left_out` the pictures asked about are the learned ones, and none is its own
        neighbour.
        """
        # With fewer, to the farthest
        neighbours = max(1, min(self.neighbours, len(self.learned) - left_out))
        few = len(asked) <= ONE_BY_ONE
        nearest = []
        for start, stop in self._columns():
            one, other = asked[:, start:stop], self.learned[:, start:stop]
            cosines = np.einsum("nd,md->nm", one, other) if few else one @ other.T
            if left_out:
                np.fill_diagonal(cosines, -1)
            nearest.append(np.partition(cosines, -neighbours, axis=1)[:, -neighbours])
        return np.stack(nearest)

    def _combine(self, nearest: np.ndarray) -> np.ndarray:
        if self.tolerances is None:
            return nearest[0]
        return ((nearest - 1) / self.tolerances[:, None]).min(axis=0)

    def _columns(self) -> list[Span]:
        """Return where each part begins and ends in a row of `learned`."""
        if not self.parts:
            return [(0, self.learned.shape[1])]
        ends = np.cumsum([sum(stop - start for start, stop in part) for part in self.parts])
        return list(zip([0, *ends.tolist()], ends.tolist(), strict=False))

    def p_values(self, features: np.ndarray) -> np.ndarray:
        """Return numbers in (0, 1], shape (N,), for feature vectors of shape (N, D).

        Up to REJECTION_LEVEL is out of distribution.
        """
        # The picture itself counts as one of the references: hence one more above and below.
        no_nearer = np.searchsorted(self.references, self.similarity(features), side="right")
        return (no_nearer + 1) / (len(self.references) + 1)

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        arrays = {
            "learned": self.learned.astype(np.float16),
            "references": self.references,
            "neighbours": np.int64(self.neighbours),
        }
        # Left out without parts: such files are those of the time before there were any
        if self.tolerances is not None:
            spans = [(place, *span) for place, part in enumerate(self.parts) for span in part]
            arrays |= {"spans": np.array(spans), "tolerances": self.tolerances}
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # none is named `allow_pickle`
        return buffer.getvalue()

    @classmethod
    def from_file(cls, path: Path) -> "OutOfDistributionDetector":
        """Read what `to_bytes` wrote. Raises ValueError or KeyError for anything else."""
        with np.load(path, allow_pickle=False) as stored:
            parts: tuple[Part, ...] = ()
            tolerances = None
            if "spans" in stored:
                tolerances = stored["tolerances"]
                spans = stored["spans"].tolist()
                parts = tuple(
                    tuple((start, stop) for place, start, stop in spans if place == number)
                    for number in range(len(tolerances))
                )
            return cls(
                stored["learned"].astype(np.float32),
                stored["references"],
                int(stored["neighbours"]),
                parts,
                tolerances,
            )


def _spread_evenly(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most MAX_LEARNED of the rows, with their labels."""
    kept = np.linspace(0, len(features) - 1, min(len(features), MAX_LEARNED)).astype(int)
    return features[kept], labels[kept]


def directions(features: np.ndarray, parts: tuple[Part, ...]) -> np.ndarray:
    """Return rows whose products are cosines, float32: part after part, each of length one.

    The outputs of each layer are brought to the same length first, so that all of a part's layers
    weigh the same; otherwise the layer with the largest numbers would decide.
    """
    if not parts:
        return unit_rows(features)
    columns = [
        unit_rows(features[:, start:stop]) / np.sqrt(len(part), dtype=np.float32)
        for part in parts
        for start, stop in part
    ]
    return np.concatenate(columns, axis=1)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Return every row at length one, float32; a row of zeros stays as it is."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.maximum(lengths, 1e-12)).astype(np.float32)
