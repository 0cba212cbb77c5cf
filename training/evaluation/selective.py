"""Selective classification: below which top probability a model had better abstain.

A threshold is proposed from the validation split and checked on the test split.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from django.db import transaction
from django.utils.translation import gettext as _

from common.errors import Conflict, InvalidInput
from predictions import registry
from predictions.models import Project
from training.evaluation.significance import wilson_interval
from training.models import TrainingRun

TARGET_PRECISIONS = (0.9, 0.95, 0.99)  # precisions that a threshold is proposed for
MIN_KEPT = 10  # answers below which a share says too little
STEPS = 100  # a threshold is a whole per cent, so that people can read it and say it


class NoSuchProposal(InvalidInput):
    """Nothing was proposed for this precision."""

    code = "no_such_proposal"


class NotTheLiveModel(Conflict):
    """A threshold fits the model that it was found with, and another one answers."""

    code = "not_the_live_model"


@dataclass(frozen=True)
class AnsweredSubset:
    """The answers of one split that are not below a threshold."""

    kept: int
    right: int
    count: int

    @property
    def precision(self) -> float | None:
        return self.right / self.kept if self.kept else None

    @property
    def coverage(self) -> float | None:
        return self.kept / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson_interval(self.right, self.kept)


@dataclass(frozen=True)
class ThresholdProposal:
    """A threshold for a wanted precision, or None where no threshold reaches it."""

    wanted: float
    threshold: float | None
    validation: AnsweredSubset | None = None
    test: AnsweredSubset | None = None

    @property
    def splits(self) -> list[AnsweredSubset | None]:
        return [self.validation, self.test]


# Top probabilities, and whether each answer was right, both of shape (N,)
Answers = tuple[np.ndarray, np.ndarray]


def lowest_threshold(confidences: np.ndarray, right: np.ndarray, wanted: float) -> float | None:
    """Return the lowest whole per cent whose kept answers are right often enough, or None.

    Kept is an answer whose top probability is not below the threshold. At least MIN_KEPT must be
    kept.

    Source: the selective classifier of Geifman & El-Yaniv 2017, arXiv:1705.08500, with the softmax
    response as its confidence; without their bound, for which a validation split is mostly too
    small.
    """
    for step in range(STEPS):
        subset = answered_at(step / STEPS, confidences, right)
        # From here on only fewer are kept
        if subset.kept < MIN_KEPT:
            return None
        if subset.right >= wanted * subset.kept - 1e-9:  # 0.9 has no exact binary form
            return step / STEPS
    return None


def answered_at(threshold: float, confidences: np.ndarray, right: np.ndarray) -> AnsweredSubset:
    kept = confidences >= threshold
    return AnsweredSubset(int(kept.sum()), int(right[kept].sum()), len(confidences))


def propose_thresholds(
    validation: Answers, test: Answers, wanted: Sequence[float] = TARGET_PRECISIONS
) -> list[dict[str, Any]]:
    """Return a proposal per wanted precision, as plain data; none from too few answers."""
    if len(validation[0]) < MIN_KEPT:
        return []
    proposals = []
    for precision in wanted:
        threshold = lowest_threshold(*validation, precision)
        if threshold is None:
            proposals.append(ThresholdProposal(precision, None))
        else:
            proposals.append(
                ThresholdProposal(
                    precision,
                    threshold,
                    answered_at(threshold, *validation),
                    answered_at(threshold, *test),
                )
            )
    return [asdict(each) for each in proposals]


def stored_proposals(run: TrainingRun | None) -> list[ThresholdProposal]:
    """Return what was proposed at the end of a run."""
    stored = run.abstaining if run else []
    return [
        ThresholdProposal(
            each["wanted"],
            each["threshold"],
            AnsweredSubset(**each["validation"]) if each["validation"] else None,
            AnsweredSubset(**each["test"]) if each["test"] else None,
        )
        for each in stored
    ]


def usable_proposals(run: TrainingRun | None) -> list[ThresholdProposal]:
    """Return the proposals of a run that have a threshold."""
    return [each for each in stored_proposals(run) if each.threshold is not None]


def run_of_live_version(project: Project) -> TrainingRun | None:
    """Return the run that made the model which answers now; a model made elsewhere has none."""
    live = registry.live_version(project)
    return TrainingRun.objects.filter(model_version=live).first() if live else None


def apply_threshold(run: TrainingRun, wanted: str) -> float:
    """Have the project abstain below the threshold proposed for a precision, and return it.

    Raises:
        NoSuchProposal: if no threshold was proposed for it.
        NotTheLiveModel: if another model answers than the one of this run.
    """
    thresholds = [
        each.threshold
        for each in usable_proposals(run)
        # Compared as it was written into the page: no number from outside is parsed
        if str(each.wanted) == wanted and each.threshold is not None
    ]
    if not thresholds:
        raise NoSuchProposal(
            _("This run proposed no threshold for that precision. Choose one from its table.")
        )
    return _set_threshold(run, thresholds[0])


def choose_threshold(run: TrainingRun, text: str) -> float:
    """Have the project abstain below the threshold that somebody typed, and return it.

    Raises:
        InvalidInput: if it is no number from 0 to 1.
        NotTheLiveModel: if another model answers than the one of this run.
    """
    try:
        threshold = float(text.replace(",", "."))
    except ValueError:
        threshold = -1.0
    if not 0 <= threshold <= 1:  # nor is NaN
        raise InvalidInput(_("A threshold is a number from 0 to 1, such as 0.62."))
    return _set_threshold(run, round(threshold, 2))


@transaction.atomic
def _set_threshold(run: TrainingRun, threshold: float) -> float:
    # Promotions lock the project too: the threshold must not meet another model
    project = Project.objects.select_for_update().get(pk=run.project_id)
    live = registry.live_version(project)
    if live is None or live.pk != run.model_version_id:
        raise NotTheLiveModel(
            _(
                "The model of this run is not live, and its threshold fits no other model. Promote "
                "it first."
            )
        )
    project.abstain_below = threshold
    project.save(update_fields=["abstain_below"])
    return threshold
