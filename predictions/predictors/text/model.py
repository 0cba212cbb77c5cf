"""What a text model computes: an encoder's vector and TF-IDF, a linear head on each, joined."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from predictions.predictors.local import heads
from predictions.predictors.text.encoders import Encoder
from predictions.predictors.text.ngrams import Row, Vocabulary


@dataclass(frozen=True)
class TextHead:
    """Two linear heads and how much the first counts.

    `kernel` (D, K) and `bias` (K,) are on the encoder's vectors, `term_kernel` (V, K) and
    `term_bias` (K,) on TF-IDF, all float32. The logits are

        (terms_count * of the terms + (1 - terms_count) * of the vector) / temperature

    where `terms_count` is 1 - share, times the share of a text's words that the vocabulary knows:
    of a text in another language than those learned from, the encoder answers alone. With a `share`
    of 1 it always does.
    """

    kernel: np.ndarray
    bias: np.ndarray
    term_kernel: np.ndarray
    term_bias: np.ndarray
    share: float
    temperature: float = 1.0
    activation: str = heads.SOFTMAX

    def logits(self, vectors: np.ndarray, rows: Sequence[Row]) -> np.ndarray:
        """Return the values before the activation, shape (N, K), float64."""
        of_vectors = vectors.astype(np.float64) @ self.kernel.astype(np.float64) + self.bias
        # A row has some hundred terms of tens of thousands: only theirs are looked up
        of_terms = np.array(
            [row.values.astype(np.float64) @ self.term_kernel[row.places] for row in rows]
        ).reshape(of_vectors.shape)
        known = np.array([row.known for row in rows]).reshape(-1, 1)
        terms_count = (1 - self.share) * known
        joined = terms_count * (of_terms + self.term_bias) + (1 - terms_count) * of_vectors
        return joined / self.temperature

    def probabilities(self, vectors: np.ndarray, rows: Sequence[Row]) -> np.ndarray:
        """Return probabilities, shape (N, K), float64; of a softmax, rows sum to 1."""
        return heads.probabilities(self.logits(vectors, rows), self.activation)

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        arrays: dict[str, Any] = dict(vars(self))
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_file(cls, path: Path) -> "TextHead":
        """Read what `to_bytes` wrote. Raises ValueError or KeyError for anything else."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(
                stored["kernel"],
                stored["bias"],
                stored["term_kernel"],
                stored["term_bias"],
                float(stored["share"]),
                float(stored["temperature"]),
                str(stored["activation"]),
            )


@dataclass(frozen=True)
class TextModel:
    """A head with what it needs to read a text."""

    encoder: Encoder
    vocabulary: Vocabulary
    head: TextHead

    def __post_init__(self) -> None:
        """Raise ValueError where the parts do not fit each other."""
        classes = self.head.bias.shape
        if (
            self.head.kernel.shape != (self.encoder.width, *classes)
            or self.head.term_kernel.shape != (len(self.vocabulary.terms), *classes)
            or self.head.term_bias.shape != classes
        ):
            raise ValueError("The head does not fit the encoder and the vocabulary.")

    def run(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities, shape (N, K), and the encoder's vectors, shape (N, D)."""
        vectors = self.encoder.encode(texts)
        return self.head.probabilities(vectors, [self.vocabulary.row(text) for text in texts]), (
            vectors
        )

    def log_odds(self, texts: Sequence[str]) -> np.ndarray:
        """Return the log-odds of every category, shape (N, K)."""
        rows = [self.vocabulary.row(text) for text in texts]
        logits = self.head.logits(self.encoder.encode(texts), rows)
        return heads.log_odds(logits, self.head.activation)
