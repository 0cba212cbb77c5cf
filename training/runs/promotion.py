"""Promotion: when a model is good enough to go live, and making it so."""

from collections.abc import Collection, Iterable, Mapping
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
from training.evaluation.significance import count_outcomes
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
    candidate: Evaluation | None,
    live: Evaluation | None,
    noks: Iterable[int] = (),
    *,
    newly_known: Mapping[str, Collection[int]] | None = None,
) -> EvaluationComparison:
    """Say whether the candidate is not worse than the live model.

    The rule: among the test pictures that both models could score, the candidate gets at least as
    many right as the live model; and the same among those of them that a user had said NOK
    to (`noks`, sample ids), whose label is a reviewer's. With fewer than MIN_TEST_PICTURES such
    pictures one picture more or less would decide: then the evidence is not enough.

    A candidate that knows more categories (`newly_known`, names to the ids of their test pictures)
    has more to confuse, so it may lose some pictures of the others, as far as chance explains that
    (exact McNemar test, 5 %). Where nothing new is learned, nothing may be lost: a little
    at each of many runs would be much.
    """
    if candidate is None or live is None:
        return EvaluationComparison(
            ComparisonVerdict.UNCLEAR,
            _("Not enough evidence: the two models could not both be measured."),
        )
    # Either may be unable to score some pictures, such as those of which only vectors are kept
    both = candidate.answers.keys() & live.answers.keys()
    # JSON has text as keys only
    new = {name: {str(pk) for pk in ids} & both for name, ids in (newly_known or {}).items()}
    old = both.difference(*new.values())
    if len(old) < MIN_TEST_PICTURES:
        sentence = ngettext(
            "Not enough evidence: only %(count)d test picture could be compared; at least "
            "%(fewest)d are needed.",
            "Not enough evidence: only %(count)d test pictures could be compared; at least "
            "%(fewest)d are needed.",
            len(old),
        )
        return EvaluationComparison(
            ComparisonVerdict.UNCLEAR, sentence % {"count": len(old), "fewest": MIN_TEST_PICTURES}
        )
    doubted = {str(pk) for pk in noks} & both
    if _right(candidate, doubted) < _right(live, doubted):
        sentence = _(
            "Worse than the live model on pictures that users had said NOK to: %(candidate)d "
            "right, not %(live)d."
        )
        on_noks = {"candidate": _right(candidate, doubted), "live": _right(live, doubted)}
        return EvaluationComparison(ComparisonVerdict.WORSE, sentence % on_noks)
    if learned := {name: ids for name, ids in new.items() if _right(candidate, ids)}:
        return _compare_with_new_categories(candidate, live, old, learned)
    figures = {"candidate": _right(candidate, both), "live": _right(live, both), "count": len(both)}
    if figures["candidate"] < figures["live"]:
        sentence = _(
            "Worse than the live model: %(candidate)d of %(count)d test pictures right, the live "
            "one %(live)d."
        )
        return EvaluationComparison(ComparisonVerdict.WORSE, sentence % figures)
    sentence = _(
        "Not worse than the live model: %(candidate)d of %(count)d test pictures right, the live "
        "one %(live)d."
    )
    return EvaluationComparison(ComparisonVerdict.NOT_WORSE, sentence % figures)


def _compare_with_new_categories(
    candidate: Evaluation, live: Evaluation, old: Collection[str], learned: Mapping[str, set[str]]
) -> EvaluationComparison:
    outcomes = count_outcomes((live.answers[each], candidate.answers[each]) for each in old)
    names = ", ".join(
        _("“%(name)s” (%(right)d of %(count)d)")
        % {"name": name, "right": _right(candidate, ids), "count": len(ids)}
        for name, ids in sorted(learned.items())
    )
    # The test by which a model in shadow is judged
    is_worse = outcomes.is_first_better
    if is_worse:
        sentence = _(
            "Newly knows %(names)s, but is worse on the categories that the live model knows: "
            "%(candidate)d of %(count)d test pictures right, the live one %(live)d. Chance does "
            "not explain that."
        )
    elif outcomes.second_right < outcomes.first_right:
        sentence = _(
            "Newly knows %(names)s. On the categories that the live model knows: %(candidate)d of "
            "%(count)d test pictures right, the live one %(live)d; chance explains that."
        )
    else:
        sentence = _(
            "Newly knows %(names)s. On the categories that the live model knows it is not worse: "
            "%(candidate)d of %(count)d test pictures right, the live one %(live)d."
        )
    figures = {
        "names": names,
        "candidate": outcomes.second_right,
        "live": outcomes.first_right,
        "count": outcomes.count,
    }
    verdict = ComparisonVerdict.WORSE if is_worse else ComparisonVerdict.NOT_WORSE
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
            measured.get(candidate.pk),
            measured.get(live.pk),
            nok_samples(dataset),
            newly_known=newly_known_samples(candidate, live, dataset),
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


def newly_known_samples(
    candidate: ModelVersion, live: ModelVersion, dataset: DatasetVersion
) -> dict[str, list[int]]:
    """Return the test samples of each category that the candidate knows and the live model not."""
    known = {key for _name, key in registry.class_categories_now(live)}
    new = {key: name for name, key in registry.class_categories_now(candidate) if key not in known}
    found: dict[str, list[int]] = {}
    # Where categories do not exclude each other, a picture of a new one shows others as well
    if not candidate.project.multilabel:
        items = dataset.items.filter(split=DatasetItem.Split.TEST, category__in=filter(None, new))
        for sample, category in items.values_list("sample", "category"):
            found.setdefault(new[category], []).append(sample)
    return found


def nok_samples(dataset: DatasetVersion) -> list[int]:
    """Return the ids of the test samples that a user said NOK to."""
    in_test = DatasetItem.objects.filter(dataset=dataset, split=DatasetItem.Split.TEST).values(
        "sample"
    )
    noks = Feedback.objects.filter(verdict=Feedback.Verdict.NOK, prediction__sample__in=in_test)
    return list(noks.values_list("prediction__sample", flat=True).distinct())


def _right(evaluation: Evaluation, samples: Iterable[str]) -> int:
    return sum(evaluation.answers[sample] for sample in samples)
