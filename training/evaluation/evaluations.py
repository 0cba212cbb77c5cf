"""How well a model does on pictures it has not learned from.

Confusion matrix, precision, recall, accuracy with their intervals, average precision, F1,
calibration.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils.translation import gettext as _

from common.errors import Conflict
from common.progress import Progress, no_progress
from predictions import registry
from predictions.models import Category, ModelVersion
from predictions.predictors.base import ModelRef
from training.data import datasets
from training.data.examples import Example
from training.evaluation import calibration, thresholds
from training.evaluation.counts import (
    CategoryCounts,
    confusion_matrix,
    count_multilabel,
    label_matrix,
)
from training.evaluation.significance import wilson_interval
from training.models import DatasetItem, DatasetVersion, Evaluation
from training.trainers.base import BaseTrainer, trainers


class NoTestPictures(Conflict):
    """The model can score no picture of the test split."""

    code = "nothing_to_measure"


class NoTrainerForModel(Conflict):
    """No trainer of this server can score pictures with this model."""

    code = "cannot_measure"


@dataclass(frozen=True)
class Measurement:
    """A model's answers to the test split, counted.

    `names` are the categories of the data set and those of the model, `counts` is in their order,
    and so is `matrix`, of shape (K, K): row = true, column = predicted; there is none of categories
    that do not exclude each other. `right` says of each sample id that could be scored whether the
    answer was right, and `mistakes` of those that were wrong the row and column of the matrix.
    """

    names: list[str]
    counts: CategoryCounts
    matrix: np.ndarray | None
    right: dict[int, bool]
    skipped: int
    confidences: np.ndarray  # top probabilities, in the order of `right`
    average_precision: dict[str, float | None]
    calibration: dict[str, Any]
    thresholds: dict[str, Any] = field(default_factory=dict)
    mistakes: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the top probabilities and whether each answer was right."""
        return self.confidences, np.array(list(self.right.values()), dtype=bool)

    @property
    def accuracy(self) -> float:
        """Return the share of right answers, in [0, 1]."""
        return sum(self.right.values()) / len(self.right)

    @property
    def confusion(self) -> dict[str, Any]:
        """Return what an evaluation keeps of the counts, see `Evaluation.confusion`."""
        if self.matrix is not None:
            mistakes = {str(pk): list(cell) for pk, cell in self.mistakes.items()}
            return {"names": self.names, "matrix": self.matrix.tolist(), "mistakes": mistakes}
        all_right = {"right": sum(self.right.values()), "pictures": len(self.right)}
        return {"names": self.names, **self.counts.as_json(), **all_right}


def evaluate_version(
    version: ModelVersion, dataset: DatasetVersion, progress: Progress = no_progress
) -> Evaluation:
    """Return the evaluation of a version on the test split of a data set; it is measured once.

    Raises:
        NoTestPictures: if the data set has no test picture that this model can score.
        NoTrainerForModel: if no trainer can score pictures with it.
        DomainError: what its trainer raises.
    """
    if existing := Evaluation.objects.filter(model_version=version, dataset=dataset).first():
        return existing
    # A class that was renamed since is counted under its present name
    names = registry.class_names_now(version)
    # Pictures move between splits when they turn out to belong to others
    learned = {
        *version.manifest.get("learned_from_test", ()),
        *datasets.learned_before(version, dataset),
    }
    measured = measure_test_split(
        trainer_for(version),
        registry.model_ref(version),
        names,
        dataset,
        progress,
        temperature=version.manifest.get("temperature"),
        left_out=learned,
    )
    return store_evaluation(version, dataset, measured)


def measure_test_split(
    trainer: BaseTrainer,
    model: ModelRef,
    names: Sequence[str],
    dataset: DatasetVersion,
    progress: Progress = no_progress,
    *,
    temperature: float | None = None,
    left_out: Collection[str] = (),
) -> Measurement:
    """Measure a model, registered or not, on the test split.

    Args:
        names: what its classes are called now.
        temperature: what the logits of its probabilities were divided by. With it, the calibration
            before the scaling is measured too.
        left_out: digests of samples that it has learned from all the same.

    Raises:
        NoTestPictures: if it can score none of them.
    """
    measured = measure_split(
        trainer, model, names, dataset, DatasetItem.Split.TEST, progress, temperature, left_out
    )
    if not measured.right:
        raise NoTestPictures(
            _("No picture of the test split could be asked about. The model was not measured.")
        )
    return measured


def measure_split(
    trainer: BaseTrainer,
    model: ModelRef,
    names: Sequence[str],
    dataset: DatasetVersion,
    split: str,
    progress: Progress = no_progress,
    temperature: float | None = None,
    left_out: Collection[str] = (),
) -> Measurement:
    """Measure a model on one split, which may be empty."""
    examples = datasets.load_examples_by_sample(dataset, split)
    asked = [
        place for place, (_pk, example) in enumerate(examples) if example.sha256 not in left_out
    ]
    scores = np.full((len(examples), len(names)), np.nan)  # who is not asked counts as skipped
    if asked:
        scores[asked] = trainer.predict_proba(
            model, [examples[place][1] for place in asked], progress
        )
    return tally_scores(scores, names, examples, temperature, multilabel=dataset.project.multilabel)


def tally_scores(
    scores: np.ndarray,
    model_names: Sequence[str],
    examples: Sequence[tuple[int, Example]],
    temperature: float | None = None,
    *,
    multilabel: bool = False,
) -> Measurement:
    """Count a model's answers: a confusion matrix, or with `multilabel` each category by itself.

    Args:
        scores: probabilities, shape (N, C); a row with a NaN could not be scored, is left out and
            counted.
        model_names: the C names of the model's classes.
        examples: N pairs of sample id and example.
        temperature: what the logits of the scores were divided by, where that is known.
        multilabel: whether a picture may show several categories; the calibration of top answers is
            left out then.

    A category that the model does not know can only be missed; one that the data set does not have,
    only be wrong.
    """
    # Both sides: a category that the model lacks is a row, one that only it has is a column
    names = sorted(
        {name for _pk, example in examples for name in example.categories} | set(model_names)
    )
    scored = ~np.isnan(scores).any(axis=1)
    scores = scores[scored]
    shown = {
        pk: example.categories for (pk, example), ok in zip(examples, scored, strict=True) if ok
    }
    matrix: np.ndarray | None = None
    if multilabel:
        counts, right = count_multilabel(scores, model_names, shown, names)
    else:
        matrix, right = confusion_matrix(scores, model_names, shown, names)
        counts = CategoryCounts.of_matrix(matrix)
    is_true = label_matrix(list(shown.values()), model_names)
    place = {name: i for i, name in enumerate(names)}
    mistakes = {
        pk: (place[shown[pk][0]], place[model_names[int(row.argmax())]])
        for (pk, is_right), row in zip(right.items(), scores, strict=True)
        if not is_right and not multilabel
    }
    # With several right categories the top probability alone says little
    report = {}
    if right and not multilabel:
        answers = np.array(list(right.values()))
        report = calibration.calibration_report(scores, answers, temperature)
    return Measurement(
        names,
        counts,
        matrix,
        right,
        skipped=int((~scored).sum()),
        confidences=scores.max(axis=1) if len(scores) else np.empty(0),
        average_precision={
            name: thresholds.average_precision(scores[:, i], is_true[:, i])
            for i, name in enumerate(model_names)
        },
        calibration=report,
        thresholds=thresholds.count_at_thresholds(scores, model_names, is_true),
        mistakes=mistakes,
    )


@transaction.atomic
def store_evaluation(
    version: ModelVersion, dataset: DatasetVersion, measured: Measurement
) -> Evaluation:
    """Store a measurement; of two processes the second gets what the first has stored."""
    return Evaluation.objects.get_or_create(
        model_version=version,
        dataset=dataset,
        defaults={
            "accuracy": measured.accuracy,
            "macro_f1": measured.counts.macro_f1,
            "per_category": category_metrics(
                measured.names, measured.counts, measured.average_precision
            ),
            "confusion": measured.confusion,
            "calibration": measured.calibration,
            "answers": {str(pk): right for pk, right in measured.right.items()},
            "skipped": measured.skipped,
            "thresholds": measured.thresholds,
        },
    )[0]


def category_metrics(
    names: Sequence[str], counts: CategoryCounts, average_precisions: Mapping[str, float | None]
) -> dict[str, dict[str, Any]]:
    """Return precision, recall, average precision (None where undefined) and support by name."""
    precision, recall = counts.precision_and_recall
    return {
        name: {
            "precision": _number(precision[i]),
            "recall": _number(recall[i]),
            "average_precision": average_precisions.get(name),
            "support": int(counts.support[i]),
        }
        for i, name in enumerate(names)
    }


Interval = tuple[float, float] | None


def metric_intervals(evaluation: Evaluation) -> tuple[dict[str, dict[str, Interval]], Interval]:
    """Return 95 % intervals: of precision and recall by category, and of the accuracy.

    See `wilson_interval`.
    """
    stored, counts = evaluation.confusion, CategoryCounts.of_stored(evaluation.confusion)
    intervals = {
        name: {
            "precision": wilson_interval(int(counts.hits[i]), int(counts.named[i])),
            "recall": wilson_interval(int(counts.hits[i]), int(counts.support[i])),
        }
        for i, name in enumerate(stored["names"])
    }
    if evaluation.is_multilabel:
        # Counts are by category here; how many pictures were all right is stored beside them
        return intervals, wilson_interval(stored["right"], stored["pictures"])
    return intervals, wilson_interval(int(counts.hits.sum()), int(counts.support.sum()))


def trainer_for(version: ModelVersion) -> BaseTrainer:
    """Return the trainer to score with this model: the one that made it, or its predictor's."""
    # Without a row, a reverse one-to-one raises an AttributeError of its own kind
    run = getattr(version, "run", None)
    for alias in (run.trainer if run else "", version.predictor):
        if alias in trainers:
            try:
                return trainers[alias]
            except ImproperlyConfigured as error:
                raise NoTrainerForModel(str(error)) from error
    raise NoTrainerForModel(
        _(
            "No trainer of this server can measure models of the predictor “%(predictor)s”. Add it "
            "to TRAINERS."
        )
        % {"predictor": version.predictor}
    )


def class_uuids(version_names: Sequence[str], categories: Sequence[Category]) -> list[str]:
    """Return the stable ids of a model's classes, which outlast a renaming."""
    by_name = {category.name: str(category.uuid) for category in categories}
    return [by_name.get(name, "") for name in version_names]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
