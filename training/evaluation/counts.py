"""How often each category was named, named rightly, and true.

Where categories do not exclude each other, a picture is given every category whose probability
reaches MULTILABEL_THRESHOLD; the answer is right if that is exactly what it shows. Precision and
recall are of each category by itself.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MULTILABEL_THRESHOLD = 0.5


@dataclass(frozen=True)
class CategoryCounts:
    """How often each category was named rightly, named, and true: integers of shape (K,)."""

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
        # 0 / 0 is the NaN that is promised
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.hits / self.named, self.hits / self.support

    @property
    def macro_f1(self) -> float:
        """Return the mean F1 of the categories that have examples; each counts the same.

        F1 of one is 2 tp / (2 tp + fp + fn), the harmonic mean of precision and recall, 0 where no
        answer was right. Source: Opitz & Burst 2019, arXiv:1911.03347, "averaged F1" (the mean of
        F1 scores, not the F1 of means).
        """
        # A category without pictures has no F1; counted as 0 it would lower the mean
        there = self.support > 0
        return float((2 * self.hits[there] / (self.named + self.support)[there]).mean())

    def as_json(self) -> dict[str, list[int]]:
        return {
            "hits": self.hits.tolist(),
            "named": self.named.tolist(),
            "support": self.support.tolist(),
        }


def label_matrix(shown: Sequence[Collection[str]], names: Sequence[str]) -> np.ndarray:
    """Return which of the K names each of N pictures shows, bool, shape (N, K)."""
    rows = [[name in categories for name in names] for categories in shown]
    return np.array(rows, dtype=bool).reshape(len(shown), len(names))


def confusion_matrix(
    scores: np.ndarray,
    model_names: Sequence[str],
    shown: Mapping[int, Sequence[str]],
    names: Sequence[str],
) -> tuple[np.ndarray, dict[int, bool]]:
    """Return the confusion matrix of some answers, and which pictures were right.

    Args:
        scores: probabilities, shape (N, C).
        model_names: the C names of the model's classes.
        shown: the one category that each of the N pictures shows, by its id.
        names: the K categories of the matrix: row = true, column = predicted.
    """
    place = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), dtype=int)
    right = {}
    for (pk, (category, *_others)), row in zip(shown.items(), scores, strict=True):
        predicted = model_names[int(row.argmax())]
        matrix[place[category], place[predicted]] += 1
        right[pk] = predicted == category
    return matrix, right


def count_multilabel(
    scores: np.ndarray,
    model_names: Sequence[str],
    shown: Mapping[int, Collection[str]],
    names: Sequence[str],
) -> tuple[CategoryCounts, dict[int, bool]]:
    """Return the counts if pictures show several categories, and which pictures were all right.

    Args:
        scores: probabilities, shape (N, C).
        model_names: the C names of the model's classes.
        shown: what each of the N pictures shows, by its id.
        names: of what to count, the model's classes and perhaps others: a model never names those.
    """
    answered = [
        {
            name
            for name, value in zip(model_names, row, strict=True)
            if value >= MULTILABEL_THRESHOLD
        }
        for row in scores
    ]
    truth, named = label_matrix(list(shown.values()), names), label_matrix(answered, names)
    right = {
        pk: given == set(categories)
        for (pk, categories), given in zip(shown.items(), answered, strict=True)
    }
    return CategoryCounts((truth & named).sum(axis=0), named.sum(axis=0), truth.sum(axis=0)), right
