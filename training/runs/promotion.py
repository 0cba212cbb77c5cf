"""Promotion: when a model is good enough to go live, and making it so."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from common.errors import Conflict, DomainError
from common.progress import Progress, no_progress
from predictions import registry
from predictions.models import Feedback, ModelVersion, Project, Promotion
from predictions.predictors.base import ModelRef, predictors
from training.evaluation import evaluations
from training.models import DatasetItem, DatasetVersion, Evaluation

MIN_TEST_PICTURES = 10


class NotPromotable(Conflict):
    """This version cannot be made the live one; the message says why."""

    code = "not_promotable"


class ComparisonVerdict(StrEnum):
    FIRST = "first"  # there is no live model to be worse than
    NOT_WORSE = "not_worse"
    WORSE = "worse"
    UNCLEAR = "unclear"  # not enough evidence


@dataclass(frozen=True)
class EvaluationComparison:
    verdict: ComparisonVerdict
    sentence: str

    @property
    def passes(self) -> bool:
        return self.verdict in (ComparisonVerdict.FIRST, ComparisonVerdict.NOT_WORSE)


@dataclass(frozen=True)
class PromotionOutcome:
    """What became of a candidate, in a sentence for whoever asked."""

    promoted: bool
    sentence: str


def compare_evaluations(
    candidate: Evaluation | None, live: Evaluation | None, noks: Iterable[int] = ()
) -> EvaluationComparison:
    """Say whether the candidate is not worse than the live model.

    The rule: among the test pictures that both models could score, the candidate gets at least as
    many right as the live model; and the same among those of them that a user had said NOK
    to (`noks`, sample ids), whose label is a reviewer's. A picture of a category that the live
    model does not know counts as its miss. With fewer than MIN_TEST_PICTURES such pictures one
    picture more or less would decide: then the evidence is not enough.
    """
    if candidate is None or live is None:
        return EvaluationComparison(
            ComparisonVerdict.UNCLEAR,
            _("Not enough evidence: the two models could not both be measured."),
        )
    # Either may be unable to score some pictures, such as those of which only vectors are kept
    both = candidate.answers.keys() & live.answers.keys()
    if len(both) < MIN_TEST_PICTURES:
        sentence = ngettext(
            "Not enough evidence: only %(count)d test picture could be compared; at least "
            "%(fewest)d are needed.",
            "Not enough evidence: only %(count)d test pictures could be compared; at least "
            "%(fewest)d are needed.",
            len(both),
        )
        return EvaluationComparison(
            ComparisonVerdict.UNCLEAR, sentence % {"count": len(both), "fewest": MIN_TEST_PICTURES}
        )
    # JSON has text as keys only
    doubted = {str(pk) for pk in noks} & both
    figures = {"candidate": _right(candidate, both), "live": _right(live, both), "count": len(both)}
    on_noks = {"candidate": _right(candidate, doubted), "live": _right(live, doubted)}
    verdict = ComparisonVerdict.WORSE
    if figures["candidate"] < figures["live"]:
        sentence = _(
            "Worse than the live model: %(candidate)d of %(count)d test pictures right, the live "
            "one %(live)d."
        )
    elif on_noks["candidate"] < on_noks["live"]:
        figures = on_noks
        sentence = _(
            "Worse than the live model on pictures that users had said NOK to: %(candidate)d "
            "right, not %(live)d."
        )
    else:
        verdict = ComparisonVerdict.NOT_WORSE
        sentence = _(
            "Not worse than the live model: %(candidate)d of %(count)d test pictures right, the "
            "live one %(live)d."
        )
    return EvaluationComparison(verdict, sentence % figures)


@transaction.atomic
def promote_if_better(
    candidate: ModelVersion, live: ModelVersion | None, dataset: DatasetVersion, *, by: User | None
) -> PromotionOutcome:
    """Promote the candidate if its stored figures are not worse than those of `live`.

    The promotion is one row: whatever dies here, either the old model serves or the new one.
    """
    Project.objects.select_for_update().get(pk=candidate.project_id)
    # The candidate was measured against `live`, and that is not what it would replace now
    if registry.live_version(candidate.project) != live:
        return PromotionOutcome(
            False,
            _(
                "Not promoted: another model went live meanwhile. Compare with that one, then "
                "promote."
            ),
        )
    if live is None:
        comparison = EvaluationComparison(
            ComparisonVerdict.FIRST, _("It is the first model of this project.")
        )
    else:
        measured = {
            each.model_version_id: each
            for each in dataset.evaluations.filter(model_version__in=[candidate, live])
        }
        comparison = compare_evaluations(
            measured.get(candidate.pk), measured.get(live.pk), nok_samples(dataset)
        )
    if comparison.passes:
        registry.promote_version(candidate, by=by, reason=comparison.sentence)
        sentence = _("Version %(number)d is live now. %(reason)s")
    else:
        sentence = _("Version %(number)d was not promoted. %(reason)s")
    return PromotionOutcome(
        comparison.passes, sentence % {"number": candidate.number, "reason": comparison.sentence}
    )


def promote_version(version: ModelVersion, *, by: User | None, reason: str = "") -> Promotion:
    """Make a version live on a person's word; rolling back to an older one is the same.

    Raises:
        NotPromotable: if it is live already, or its predictor cannot load it.
    """
    # A model that does not load must not replace one that does
    if problem := load_problem(version.predictor, registry.model_ref(version)):
        raise NotPromotable(problem)
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=version.project_id)
        if registry.live_version(version.project) == version:
            raise NotPromotable(
                _("Version %(number)d is live already.") % {"number": version.number}
            )
        return registry.promote_version(version, by=by, reason=reason)


def load_problem(predictor: str, model: ModelRef) -> str:
    """Return why this model could not answer, or ""."""
    try:
        predictors[predictor].warm_up(model)
    except (DomainError, ImproperlyConfigured) as error:
        return _("This model cannot be loaded and is not promoted: %(reason)s") % {"reason": error}
    return ""


def try_evaluate(
    version: ModelVersion, dataset: DatasetVersion, progress: Progress = no_progress
) -> str:
    """Measure a version on a data set version; return why that could not be done, or ""."""
    try:
        evaluations.evaluate_version(version, dataset, progress)
    except DomainError as error:
        return str(error)
    return ""


def nok_samples(dataset: DatasetVersion) -> list[int]:
    """Return the ids of the test samples that a user said NOK to."""
    in_test = DatasetItem.objects.filter(dataset=dataset, split=DatasetItem.Split.TEST).values(
        "sample"
    )
    noks = Feedback.objects.filter(verdict=Feedback.Verdict.NOK, prediction__sample__in=in_test)
    return list(noks.values_list("prediction__sample", flat=True).distinct())


def _right(evaluation: Evaluation, samples: Iterable[str]) -> int:
    return sum(evaluation.answers[sample] for sample in samples)
