"""Precision and recall at a threshold, each category counted by itself, and average precision.

An evaluation stores counts at the thresholds 0.00, 0.01, ... 1.00: small, however many pictures
were measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.models import Evaluation

STEPS = 100


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision is 0 where nothing was named, recall is 0 where nothing was there to be found."""

    precision: float
    recall: float
    average_precision: float | None


@dataclass(frozen=True)
class ThresholdMetrics:
    overall: PrecisionRecall
    per_category: dict[str, PrecisionRecall]


def count_at_thresholds(
    scores: np.ndarray, names: Sequence[str], is_true: np.ndarray
) -> dict[str, Any]:
    """Count by category and threshold: the pictures that were given it, and how many rightly.

    Args:
        scores: probabilities, shape (N, K).
        names: the K categories of the model.
        is_true: which categories each picture shows, bool, shape (N, K).

    A picture is given every category whose probability reaches the threshold.
    """
    # Divided, not added up: 0.01 a hundred times is not 1.00
    thresholds = np.arange(STEPS + 1) / STEPS
    named: list[list[int]] = []
    right: list[list[int]] = []
    average: list[float | None] = []
    for column, of_it in zip(scores.T, is_true.T, strict=True):
        for counts, values in ((named, column), (right, column[of_it])):
            # From one sort: how many values are not below each threshold
            counts.append((len(values) - np.searchsorted(np.sort(values), thresholds)).tolist())
        average.append(average_precision(column, of_it))
    return {
        "names": list(names),
        "named": named,
        "right": right,
        "support": is_true.sum(axis=0).tolist(),
        "average_precision": average,
    }


def average_precision(scores: np.ndarray, is_true: np.ndarray) -> float | None:
    """Return the area under the steps of precision over recall; None if nothing is true.

    The sum of (R_n - R_{n-1}) P_n.

    Source: Manning, Raghavan & Schütze 2008, Introduction to Information Retrieval, section 8.4
    (average precision); pictures of equal score count together, so their order does not matter.
    """
    if not is_true.any():
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(is_true[order])
    last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    # Pictures of equal score come in together: precision is taken after the last of them
    found, retrieved = hits[last_of_equals], np.flatnonzero(last_of_equals) + 1
    return float((np.diff(found, prepend=0) * found / retrieved).sum() / hits[-1])


def metrics_at(evaluation: Evaluation, threshold: float) -> ThresholdMetrics:
    """Return the figures of an evaluation at a threshold, to the nearest hundredth.

    An evaluation that was made before these counts were kept has the figures of its most probable
    answers instead.
    """
    counts = evaluation.thresholds
    if not counts:
        return ThresholdMetrics(
            PrecisionRecall(evaluation.accuracy, evaluation.accuracy, None),
            {
                name: PrecisionRecall(figures["precision"] or 0.0, figures["recall"] or 0.0, None)
                for name, figures in evaluation.per_category.items()
            },
        )
    step = round(threshold * STEPS)
    named = [row[step] for row in counts["named"]]
    right = [row[step] for row in counts["right"]]
    average = counts["average_precision"]
    defined = [value for value in average if value is not None]
    return ThresholdMetrics(
        PrecisionRecall(
            _share(sum(right), sum(named)),
            _share(sum(right), sum(counts["support"])),
            sum(defined) / len(defined) if defined else None,
        ),
        {
            name: PrecisionRecall(
                _share(right[i], named[i]), _share(right[i], counts["support"][i]), average[i]
            )
            for i, name in enumerate(counts["names"])
        },
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
