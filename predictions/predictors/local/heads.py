"""The head: a linear layer on feature vectors, a temperature, and a softmax or sigmoids.

SOFTMAX: the categories exclude each other. SIGMOID: they do not, and each has a probability of its
own.
"""

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

SOFTMAX, SIGMOID = "softmax", "sigmoid"
# pictures; for so few, waking the threads of a BLAS costs more CPU than the products themselves
ONE_BY_ONE = 8


@dataclass(frozen=True)
class Head:
    """`activation((features @ kernel + bias) / temperature)`; kernel (D, K), bias (K,), float32."""

    kernel: np.ndarray
    bias: np.ndarray
    temperature: float = 1.0
    activation: str = SOFTMAX

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the values before temperature and activation, shape (N, K), float64."""
        exact = features.astype(np.float64)
        if len(exact) <= ONE_BY_ONE:
            return np.einsum("nd,kd->nk", exact, self._rows) + self.bias
        return exact @ self._rows.T + self.bias

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return probabilities, shape (N, K), float64; of a softmax, rows sum to 1."""
        return probabilities(self.logits(features) / self.temperature, self.activation)

    @cached_property
    def _rows(self) -> np.ndarray:
        """The kernel, one row per category: asked with every picture, converted once."""
        return np.ascontiguousarray(self.kernel.T, np.float64)

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {
            "kernel": self.kernel,
            "bias": self.bias,
            "temperature": np.float64(self.temperature),
        }
        # Left out for the softmax: its files, and so the digests of their bundles, are those of
        # the time before there was another activation
        if self.activation != SOFTMAX:
            arrays["activation"] = np.array(self.activation)
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_file(cls, path: Path) -> "Head":
        """Read what `to_bytes` wrote. Raises ValueError or KeyError for anything else."""
        # A pickle could run code while it is read
        with np.load(path, allow_pickle=False) as stored:
            activation = str(stored["activation"]) if "activation" in stored else SOFTMAX
            return cls(stored["kernel"], stored["bias"], float(stored["temperature"]), activation)


def probabilities(logits: np.ndarray, activation: str) -> np.ndarray:
    return sigmoid(logits) if activation == SIGMOID else np.exp(log_softmax(logits))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of the softmax of every row, without overflow."""
    # A shift changes no softmax, and with it exp() gives 1 at most
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logits)), without overflow."""
    # exp() of negative numbers only: of large positive ones it overflows
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def log_odds(logits: np.ndarray, activation: str) -> np.ndarray:
    """Return log(p / (1 - p)) of each probability, shape (N, K), exact where p rounds to 1."""
    if activation == SIGMOID:
        return logits
    # Of a softmax: each logit less the logarithm of what all others weigh together
    alone = np.eye(logits.shape[1], dtype=bool)
    others = np.where(alone, -np.inf, logits[:, None, :])
    most = others.max(axis=2, keepdims=True)
    return logits - (most[..., 0] + np.log(np.exp(others - most).sum(axis=2)))
