"""How often each category was named, named rightly, and true."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class CategoryCounts:
    """Integers of shape (K,): answers that named a category rightly, that named it, and pictures
    that show it.
    """

    hits: np.ndarray
    named: np.ndarray
    support: np.ndarray

    @classmethod
    def of_matrix(cls, confusion: np.ndarray) -> "CategoryCounts":
        """Return the counts of a confusion matrix. Raises ValueError if it is not square."""
        if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
            raise ValueError(f"A confusion matrix is square, not {confusion.shape}.")
        return cls(np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1))

    @classmethod
    def of_stored(cls, confusion: Mapping[str, Any]) -> "CategoryCounts":
        """Return the counts of what an evaluation keeps as `confusion`."""
        if "matrix" in confusion:
            return cls.of_matrix(np.array(confusion["matrix"]))
        return cls(*(np.array(confusion[name]) for name in ("hits", "named", "support")))

    @property
    def precision_and_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """Return both, float, in [0, 1]; NaN where a category was never named, or never true.

        Source: Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002, table 3 (per class: tp / (tp
        + fp), tp / (tp + fn)).
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.hits / self.named, self.hits / self.support

    @property
    def macro_f1(self) -> float:
        """Return the mean F1 over the categories that have examples; each counts the same, however
        small.

        F1 of one is 2 tp / (2 tp + fp + fn), the harmonic mean of precision and recall, 0 where no
        answer was right. Source: Opitz & Burst 2019, arXiv:1911.03347, "averaged F1" (the mean of
        F1 scores, not the F1 of means).
        """
        there = self.support > 0
        return float((2 * self.hits[there] / (self.named + self.support)[there]).mean())

    def as_json(self) -> dict[str, list[int]]:
        return {
            "hits": self.hits.tolist(),
            "named": self.named.tolist(),
            "support": self.support.tolist(),
        }
