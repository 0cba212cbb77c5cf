"""Promotion: when a model is good enough to go live, and making it so."""

from collections.abc import Collection
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import Conflict, DomainError
from common.progress import Progress, no_progress
from predictions import registry
from predictions.models import Feedback, ModelVersion, Project, Promotion
from predictions.predictors.base import ModelRef, predictors
from training.evaluation import evaluations
from training.models import (
    DatasetItem,
    DatasetVersion,
    Evaluation,
    TrainingPolicy,
    TrainingRun,
)
from training.runs import gate
from training.runs.gate import ComparisonVerdict, EvaluationComparison, PairedAnswer


class NotPromotable(Conflict):
    """This version cannot be made the live one; the message says why."""

    code = "not_promotable"


@dataclass(frozen=True)
class PromotionOutcome:
    """What became of a candidate, in a sentence for whoever asked."""

    promoted: bool
    sentence: str


def compare_evaluations(
    candidate: Evaluation | None,
    live: Evaluation | None,
    *,
    margin: float,
    newly_known: Collection[str] = (),
) -> EvaluationComparison:
    """Say whether the candidate is not worse than the live model, by the rules of `gate`.

    Args:
        candidate: its evaluation, or None if it could not be measured.
        live: that of the live model on the same data set version.
        margin: how much of the accuracy it may cost at most, as a share.
        newly_known: names of the categories that the candidate knows and the live model does not.
    """
    if candidate is None or live is None:
        return EvaluationComparison(
            ComparisonVerdict.UNCLEAR,
            _("Not enough evidence: the two models could not both be measured."),
        )
    return gate.compare_answers(pair_for_gate(candidate, live, newly_known), margin)


def pair_for_gate(
    candidate: Evaluation, live: Evaluation, newly_known: Collection[str] = ()
) -> list[PairedAnswer]:
    """Return the test pictures that both were asked about, with what the gate has to know."""
    # Either may be unable to score some pictures, such as those of which only vectors are kept
    both = candidate.answers.keys() & live.answers.keys()
    items = candidate.dataset.items.filter(split=DatasetItem.Split.TEST).order_by("sample")
    noks = nok_samples(candidate.dataset)
    return [
        PairedAnswer(
            category=name,
            live=live.answers[str(sample)],
            candidate=candidate.answers[str(sample)],
            is_new=name in newly_known,
            is_nok=sample in noks,
        )
        for sample, name in items.values_list("sample", "category__name")
        if str(sample) in both
    ]


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
            measured.get(candidate.pk),
            measured.get(live.pk),
            margin=TrainingPolicy.of(candidate.project).margin,
            newly_known=newly_known_categories(candidate, live),
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


def promoted_by_hand(run: TrainingRun) -> Promotion | None:
    """Return the promotion of a run's model that a person decided on after the run, if any."""
    newest = Promotion.objects.filter(model_version=run.model_version_id).order_by("-pk")
    found = newest.select_related("promoted_by").first() if run.model_version_id else None
    # The gate's own says in its reason what the run says of it
    is_the_gates = found and found.reason and found.reason in run.outcome
    return None if is_the_gates else found


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


def newly_known_categories(candidate: ModelVersion, live: ModelVersion) -> set[str]:
    """Return the present names of what the candidate knows and the live model does not.

    None where categories do not exclude each other: a picture of a new one shows others as well.
    """
    if candidate.project.multilabel:
        return set()
    known = {key for _name, key in registry.class_categories_now(live)}
    return {name for name, key in registry.class_categories_now(candidate) if key not in known}


def nok_samples(dataset: DatasetVersion) -> set[int]:
    """Return the ids of the test samples that a user said NOK to."""
    in_test = DatasetItem.objects.filter(dataset=dataset, split=DatasetItem.Split.TEST).values(
        "sample"
    )
    noks = Feedback.objects.filter(verdict=Feedback.Verdict.NOK, prediction__sample__in=in_test)
    return set(noks.values_list("prediction__sample", flat=True))
