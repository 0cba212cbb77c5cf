"""Calibration: whether a model that is 80 % sure is right in 80 of 100 cases."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BINS = 15  # equal widths, as Guo et al. use


@dataclass(frozen=True)
class ReliabilityBin:
    """The answers whose top probability lies in (low, high]; without any, both means are 0."""

    low: float
    high: float
    count: int
    confidence: float  # mean top probability
    accuracy: float  # share of right answers


def undo_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return what the probabilities were before their logits were divided by the temperature.

    softmax(z) is softmax(z / t) to the power of t, scaled to sum 1; so the logits need not be kept.

    Args:
        probabilities: shape (N, K), rows summing to 1.
        temperature: above 0.
    """
    # log(0) is minus infinity, which exp() turns back into 0
    with np.errstate(divide="ignore"):
        logarithms = temperature * np.log(probabilities)
    # Shifted by the maximum, so that exp() overflows nowhere
    raised = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def reliability_bins(
    confidences: np.ndarray, right: np.ndarray, bins: int = BINS
) -> list[ReliabilityBin]:
    """Sort answers into bins of equal width by their top probability.

    Args:
        confidences: top probabilities, shape (N,), in (0, 1].
        right: whether each answer was right, shape (N,).
    """
    # A bin includes its upper edge; clipped, as rounding may lead beyond the last one
    places = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    result = []
    for place in range(bins):
        inside = places == place
        count = int(inside.sum())
        confidence, accuracy = (
            (float(confidences[inside].mean()), float(right[inside].mean()))
            if count
            else (0.0, 0.0)
        )
        result.append(ReliabilityBin(place / bins, (place + 1) / bins, count, confidence, accuracy))
    return result


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the mean distance of confidence and accuracy, weighted by the answers per bin.

    Source: Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602; as in Guo et al. 2017,
    arXiv:1706.04599, equation 3.
    """
    total = sum(each.count for each in bins)
    return (
        sum(each.count * abs(each.accuracy - each.confidence) for each in bins) / total
        if total
        else 0.0
    )


def calibration_report(
    probabilities: np.ndarray, right: np.ndarray, temperature: float | None
) -> dict[str, Any]:
    """Return the calibration of some answers, as plain data to be stored.

    That is `bins`, `error`, and with a temperature `error_before`.
    """
    bins = reliability_bins(probabilities.max(axis=1), right)
    report: dict[str, Any] = {
        "bins": [asdict(each) for each in bins],
        "error": expected_calibration_error(bins),
    }
    if temperature is not None:
        before = reliability_bins(undo_temperature(probabilities, temperature).max(axis=1), right)
        report |= {"error_before": expected_calibration_error(before), "temperature": temperature}
    return report
