"""How well a model does on pictures it has not learned from.

Confusion matrix, precision, recall, accuracy with their intervals, average precision, F1, calibration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils.translation import gettext as _

from classifr.common.errors import Conflict
from classifr.common.progress import Progress, silent
from predictions import registry
from predictions.models import Category, ModelVersion
from predictions.predictors.base import Servable
from training import calibration, examples, performance
from training.models import DatasetItem, DatasetVersion, Evaluation
from training.trainers.base import BaseTrainer, Example, trainers


class NothingToMeasure(Conflict):
    """No test picture that this model can be asked about."""

    code = "nothing_to_measure"


class CannotMeasure(Conflict):
    """No trainer of this server can ask this model."""

    code = "cannot_measure"


@dataclass(frozen=True)
class Measured:
    """A model's answers to the test split, counted.

    `matrix` has shape (K, K): row = true, column = predicted, in the order of `names`, which are the categories of the
    data set and those of the model. `right` says of each sample id that could be scored whether the answer was right.
    """

    names: list[str]
    matrix: np.ndarray
    right: dict[int, bool]
    skipped: int
    confidences: np.ndarray  # top probabilities, in the order of `right`
    average_precision: dict[str, float | None]
    calibration: dict[str, Any]
    thresholds: dict[str, Any] = field(default_factory=dict)

    @property
    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the top probabilities and whether each answer was right."""
        return self.confidences, np.array(list(self.right.values()), dtype=bool)

    @property
    def accuracy(self) -> float:
        """Return the share of right answers, in [0, 1]."""
        return float(np.trace(self.matrix) / self.matrix.sum())


def evaluate(version: ModelVersion, dataset: DatasetVersion, progress: Progress = silent) -> Evaluation:
    """Measure a model version on the test split of a data set version, once; asked again, return what was found.

    Raises:
        NothingToMeasure: if the data set has no test picture that this model can be asked about.
        CannotMeasure: if no trainer can ask it.
        DomainError: what its trainer raises.
    """
    if known := Evaluation.objects.filter(model_version=version, dataset=dataset).first():
        return known
    names = registry.current_names(version)
    measured = measure(
        trainer_of(version),
        registry.servable(version),
        names,
        dataset,
        progress,
        temperature=version.manifest.get("temperature"),
    )
    return store(version, dataset, measured)


def measure(
    trainer: BaseTrainer,
    model: Servable,
    names: Sequence[str],
    dataset: DatasetVersion,
    progress: Progress = silent,
    *,
    temperature: float | None = None,
) -> Measured:
    """Ask a model, registered or not, about the test split; `names` are what its classes are called now.

    With the temperature that its probabilities were divided by, their calibration without it is found too.
    """
    measured = answered(trainer, model, names, dataset, DatasetItem.Split.TEST, progress, temperature)
    if not measured.right:
        raise NothingToMeasure(_("No picture of the test split could be asked about. The model was not measured."))
    return measured


def answered(
    trainer: BaseTrainer,
    model: Servable,
    names: Sequence[str],
    dataset: DatasetVersion,
    split: str,
    progress: Progress = silent,
    temperature: float | None = None,
) -> Measured:
    """Ask a model about one split, and count; there may be nothing to count."""
    asked = examples.with_samples(dataset, split)
    scores = trainer.score(model, [example for _pk, example in asked], progress) if asked else np.empty((0, len(names)))
    return count(scores, names, asked, temperature)


def count(
    scores: np.ndarray,
    model_names: Sequence[str],
    asked: Sequence[tuple[int, Example]],
    temperature: float | None = None,
) -> Measured:
    """Count answers into a confusion matrix.

    Args:
        scores: probabilities, shape (N, C); a row with a NaN could not be scored, is left out and counted.
        model_names: the C names of the model's classes.
        asked: N pairs of sample id and example.
        temperature: what the logits of the scores were divided by, where that is known.

    A category that the model does not know can only be missed; one that the data set does not have, only be wrong.
    """
    names = sorted({example.category for _pk, example in asked} | set(model_names))
    place = {name: i for i, name in enumerate(names)}
    scored = ~np.isnan(scores).any(axis=1)
    known, scores = [pair for pair, ok in zip(asked, scored, strict=True) if ok], scores[scored]
    matrix = np.zeros((len(names), len(names)), dtype=int)
    right = {}
    for (pk, example), row in zip(known, scores, strict=True):
        predicted = model_names[int(row.argmax())]
        matrix[place[example.category], place[predicted]] += 1
        right[pk] = predicted == example.category
    truth = np.array([example.category for _pk, example in known])
    return Measured(
        names,
        matrix,
        right,
        skipped=int((~scored).sum()),
        confidences=scores.max(axis=1) if len(scores) else np.empty(0),
        average_precision={
            name: performance.average_precision(scores[:, i], truth == name) for i, name in enumerate(model_names)
        },
        calibration=calibration.report(scores, np.array(list(right.values())), temperature) if right else {},
        thresholds=performance.count_at_thresholds(scores, model_names, [example.category for _pk, example in known]),
    )


@transaction.atomic
def store(version: ModelVersion, dataset: DatasetVersion, measured: Measured) -> Evaluation:
    """Keep what was measured; who comes second gets what the first has kept."""
    return Evaluation.objects.get_or_create(
        model_version=version,
        dataset=dataset,
        defaults={
            "accuracy": measured.accuracy,
            "macro_f1": macro_f1(measured.matrix),
            "per_category": per_category(measured.names, measured.matrix, measured.average_precision),
            "confusion": {"names": measured.names, "matrix": measured.matrix.tolist()},
            "calibration": measured.calibration,
            "answers": {str(pk): right for pk, right in measured.right.items()},
            "skipped": measured.skipped,
            "thresholds": measured.thresholds,
        },
    )[0]


def precision_and_recall(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return per-class precision and recall of a single-label classifier.

    Args:
        confusion: counts, shape (K, K), integer; row = true class, column = predicted class.

    Returns:
        Two float arrays of shape (K,), in [0, 1]; NaN where a class was never predicted (precision: right answers
        among those that named it) or has no examples (recall: right answers among its examples).

    Raises:
        ValueError: if the matrix is not square.

    Source: Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002, table 3 (per class: tp / (tp + fp), tp / (tp + fn)).
    """
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(f"A confusion matrix is square, not {confusion.shape}.")
    hits = np.diag(confusion).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return hits / confusion.sum(axis=0), hits / confusion.sum(axis=1)


def macro_f1(confusion: np.ndarray) -> float:
    """Return the mean F1 over the classes that have examples; each counts the same, however small.

    F1 of a class is 2 tp / (2 tp + fp + fn), the harmonic mean of precision and recall, 0 where no answer was right.
    Source: Opitz & Burst 2019, arXiv:1911.03347, "averaged F1" (the mean of F1 scores, not the F1 of means).
    """
    hits = np.diag(confusion).astype(float)
    with_examples = confusion.sum(axis=1) > 0
    f1 = 2 * hits[with_examples] / (confusion.sum(axis=0) + confusion.sum(axis=1))[with_examples]
    return float(f1.mean())


def per_category(
    names: Sequence[str], confusion: np.ndarray, average_precisions: Mapping[str, float | None]
) -> dict[str, dict[str, Any]]:
    """Return precision, recall, average precision (None where undefined) and support for each name."""
    precision, recall = precision_and_recall(confusion)
    support = confusion.sum(axis=1)
    return {
        name: {
            "precision": _number(precision[i]),
            "recall": _number(recall[i]),
            "average_precision": average_precisions.get(name),
            "support": int(support[i]),
        }
        for i, name in enumerate(names)
    }


Interval = tuple[float, float] | None


def intervals(evaluation: Evaluation) -> tuple[dict[str, dict[str, Interval]], Interval]:
    """Return the 95 % intervals of precision and recall by category, and that of the accuracy; see `wilson`."""
    matrix = np.array(evaluation.confusion["matrix"])
    hits, named, truly = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    found = {
        name: {
            "precision": calibration.wilson(int(hits[i]), int(named[i])),
            "recall": calibration.wilson(int(hits[i]), int(truly[i])),
        }
        for i, name in enumerate(evaluation.confusion["names"])
    }
    return found, calibration.wilson(int(hits.sum()), int(matrix.sum()))


def trainer_of(version: ModelVersion) -> BaseTrainer:
    """Return the trainer that can ask this model: the one that made it, else the one named as its predictor."""
    run = getattr(version, "run", None)
    for alias in (run.trainer if run else "", version.predictor):
        if alias in trainers:
            try:
                return trainers[alias]
            except ImproperlyConfigured as error:
                raise CannotMeasure(str(error)) from error
    raise CannotMeasure(
        _("No trainer of this server can measure models of the predictor “%(predictor)s”. Add it to TRAINERS.")
        % {"predictor": version.predictor}
    )


def category_uuids(version_names: Sequence[str], categories: Sequence[Category]) -> list[str]:
    """Return the stable ids of a model's classes, so that its answers keep their meaning after a renaming."""
    by_name = {category.name: str(category.uuid) for category in categories}
    return [by_name.get(name, "") for name in version_names]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
