"""The gate for an engine: how a file in int8 answers beside the same network in float32.

Its numbers are others, so a tolerance says little. What counts is what they lead to, on pictures
that the head has not learned from: as many right answers, probabilities as honest, the same first
choices.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from django.utils.translation import gettext as _

from predictions.predictors.local.engine import LiteRtEngine
from predictions.predictors.local.heads import SIGMOID, Head
from training.backbones.base import Backbone
from training.data import examples
from training.data.examples import Example
from training.errors import TrainingFailed
from training.evaluation import calibration

MOST_PICTURES = 64
MIN_COSINE = 0.9  # between the vectors of a picture, in the mean; of photos it is 0.995
# By how much of the pictures the served file may be worse; of a few, one may be chance
MARGIN = 0.1
FORGIVEN = 2
MIN_TO_CALIBRATE = 20  # pictures; the error of fewer is chance


@dataclass(frozen=True)
class EngineAgreement:
    """How the served file and the network in float32 answer; `drawn` pictures are noise.

    Accuracy and calibration error are of labelled pictures; None where there are none. Where
    categories do not exclude each other, an answer is right if it is so for all of them, and the
    calibration is of every probability.
    """

    pictures: int
    drawn: int
    cosine: float
    same_answers: int
    accuracy: float | None = None
    float_accuracy: float | None = None
    calibration_error: float | None = None
    float_calibration_error: float | None = None

    @property
    def is_good_enough(self) -> bool:
        asked = self.pictures or self.drawn
        allowed = max(FORGIVEN, MARGIN * asked)
        # `not <`: a cosine that is NaN fails as well
        if not self.cosine >= MIN_COSINE:
            return False
        # A head makes nothing of noise, so its choices there are those of rounding
        if self.accuracy is None or self.float_accuracy is None:
            return True
        if asked - self.same_answers > allowed:
            return False
        if (self.float_accuracy - self.accuracy) * asked > allowed:
            return False
        if self.calibration_error is None or self.float_calibration_error is None:
            return True
        return self.calibration_error - self.float_calibration_error <= MARGIN

    def as_manifest(self) -> dict[str, Any]:
        return asdict(self)


def check_agreement(
    backbone: Backbone, head: Head, held_out: Sequence[Example], class_names: Sequence[str]
) -> EngineAgreement:
    """Ask both about pictures that the head has not learned from; about noise if none was kept.

    Args:
        backbone: one with a `served` file and its `reference`.
        held_out: of the validation split; at most MOST_PICTURES of those with a picture are asked.

    Raises:
        TrainingFailed: the served file answers too differently.
    """
    chosen = examples.evenly_spaced(held_out, MOST_PICTURES)
    pixels, _unread = examples.load_pixels(chosen, backbone.input_size)
    served, reference = (
        LiteRtEngine(path) for path in (backbone.served, backbone.reference) if path is not None
    )
    if pixels:
        asked = np.stack(list(pixels.values()))
    else:
        # Of the demo only vectors are kept. Noise also shows a wrong conversion
        shape = (MOST_PICTURES // 4, backbone.input_size, backbone.input_size, 3)
        asked = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    vectors, others = (engine.run(asked)["features"] for engine in (served, reference))
    labels = None
    if pixels:
        by_sample = {example.sha256: example.categories for example in chosen}
        labels = np.array([[name in by_sample[each] for name in class_names] for each in pixels])
    report = compare(vectors, others, head, labels)
    if not report.is_good_enough:
        raise TrainingFailed(
            _(
                "The backbone in int8 does not answer as the same network in float32 does: the "
                "answer is the same for %(same)d of %(all)d pictures, and the cosine of the "
                "feature vectors is %(cosine).3f. The model was not kept. Please report this."
            )
            % {"same": report.same_answers, "all": len(asked), "cosine": report.cosine}
        )
    return report


def compare(
    vectors: np.ndarray, others: np.ndarray, head: Head, labels: np.ndarray | None
) -> EngineAgreement:
    """Compare what a head makes of two networks' feature vectors.

    Args:
        vectors: of the file that serves, shape (N, D); `others`: of the network in float32.
        labels: whether a picture shows a category, boolean, shape (N, K); None of noise.
    """
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(others, axis=1)
    cosine = float(((vectors * others).sum(axis=1) / np.maximum(lengths, 1e-12)).mean())
    own, float_own = head.probabilities(vectors), head.probabilities(others)
    answers, float_answers = (_answers(each, head.activation) for each in (own, float_own))
    same = int((answers == float_answers).all(axis=1).sum())
    if labels is None:
        return EngineAgreement(0, len(vectors), cosine, same)
    with_bins = len(labels) >= MIN_TO_CALIBRATE
    return EngineAgreement(
        len(vectors),
        0,
        cosine,
        same,
        _accuracy(answers, labels, head.activation),
        _accuracy(float_answers, labels, head.activation),
        _calibration_error(own, labels, head.activation) if with_bins else None,
        _calibration_error(float_own, labels, head.activation) if with_bins else None,
    )


def _answers(probabilities: np.ndarray, activation: str) -> np.ndarray:
    """Return which categories are said to be shown, boolean, shape (N, K)."""
    if activation == SIGMOID:
        return probabilities >= 0.5
    return np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]


def _accuracy(answers: np.ndarray, labels: np.ndarray, activation: str) -> float:
    right = (answers == labels) if activation == SIGMOID else (labels | ~answers)
    return float(right.all(axis=1).mean())


def _calibration_error(probabilities: np.ndarray, labels: np.ndarray, activation: str) -> float:
    if activation == SIGMOID:
        confidences, right = probabilities.ravel(), labels.ravel()
    else:
        rows, first = np.arange(len(labels)), probabilities.argmax(axis=1)
        confidences, right = probabilities[rows, first], labels[rows, first]
    return calibration.expected_calibration_error(calibration.reliability_bins(confidences, right))
