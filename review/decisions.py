"""What reviewers decide: label, confirm the model, discard, reopen. Every decision is one more row.

A decision is made under a lease (see `review.leases`), or about a sample that nobody else holds and
that nobody else has decided, or of which the reviewer saw the decision. Anything else is a
Conflict, so that no decision is overridden by somebody who has not seen it.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import Conflict, InvalidInput
from common.transactions import durable_transaction
from predictions import categories
from predictions.models import Category, Prediction, Project, Sample
from review import answers, leases, low_water_mark, rechecks
from review.models import AdditionalCategory, Decision, Recheck

MAX_REASON = 300
NOTHING_SEEN: Mapping[int, int] = {}


class AlreadyDecided(Conflict):
    """Somebody else has decided about it in the meantime."""

    code = "already_decided"


def latest_decision(sample: Sample) -> Decision | None:
    """Return the decision in force about a sample (it may be REOPENED), or None."""
    return Decision.objects.newest_first(sample).select_related("category", "reviewer").first()


def latest_decisions(samples: Iterable[Sample]) -> dict[int, Decision]:
    """Return the decision in force about each of these samples, by the sample's id, in one query.

    Pages use `{% look_up_outcomes %}`, which calls this for a list.
    """
    ids = [sample.pk for sample in samples]
    return {
        decision.sample_id: decision
        for decision in Decision.objects.in_force()
        .filter(sample__in=ids)
        .select_related("category")
    }


def label_sample(
    sample: Sample,
    category: Category,
    *,
    by: User,
    reason: str = "",
    prediction: Prediction | None = None,
) -> Decision:
    """Decide that the sample shows `category`.

    Raises:
        InvalidInput: if the category is of another project, or was deleted.
        Conflict: if somebody else has decided about the sample, or is looking at it.
    """
    _check_category(sample, category)
    return _append(
        sample, Decision.Outcome.LABELLED, category, by=by, reason=reason, prediction=prediction
    )


@durable_transaction()
def label_by_name(
    sample: Sample, name: str, *, by: User, reason: str = "", prediction: Prediction | None = None
) -> Decision:
    """Decide that the sample shows the category of this name, which is created if it is new.

    A reviewer who sees the first pizza must be able to say so. No model learns it yet: that takes
    five pictures of a category, and a maintainer who starts a run.

    Raises:
        InvalidInput: if the name is not valid.
        Conflict: as `label_sample`.
    """
    category, _created = categories.add_category(sample.project, name)
    return label_sample(sample, category, by=by, reason=reason, prediction=prediction)


def confirm_prediction(
    sample: Sample, *, by: User, reason: str = "", prediction: Prediction | None = None
) -> Decision:
    """Decide that the model was right: the sample shows its most probable category.

    Raises:
        Conflict: if there is no prediction, its category no longer exists, or as `label_sample`.
    """
    prediction = prediction or sample.predictions.select_related("top").order_by("-id").first()
    if prediction is None:
        raise Conflict(_("No model has seen this sample. Choose a category instead."))
    top = prediction.top and (prediction.top.merged_into or prediction.top)
    if top is None or top.removed_at:
        raise Conflict(_("The category that the model named no longer exists. Choose another one."))
    return _append(
        sample,
        Decision.Outcome.CONFIRMED,
        top,
        by=by,
        reason=reason,
        prediction=prediction,
    )


def discard_sample(
    sample: Sample, *, by: User, reason: str = "", prediction: Prediction | None = None
) -> Decision:
    """Decide that the sample is of no use for training. Raises Conflict as `label_sample`."""
    return _append(
        sample, Decision.Outcome.DISCARDED, None, by=by, reason=reason, prediction=prediction
    )


@durable_transaction()
def reopen(
    sample: Sample, *, by: User | None, reason: str = "", prediction: Prediction | None = None
) -> Decision:
    """Undo the decision in force, whoever made it, so that the sample waits for review again."""
    # A NOK below the mark would never be found again
    low_water_mark.lower_marks_for(sample)
    answers.take_back(sample)
    return Decision.objects.create(
        sample=sample,
        prediction=prediction,
        outcome=Decision.Outcome.REOPENED,
        reviewer=by,
        reason=normalize_reason(reason),
    )


@durable_transaction()
def decide_each(
    samples: Iterable[Sample],
    category: Category | None,
    *,
    by: User,
    reason: str = "",
    seen: Mapping[int, int] = NOTHING_SEEN,
    batch: UUID | None = None,
) -> list[Decision]:
    """Decide that each of these samples shows `category`, or without one that it is of no use.

    What somebody else has decided about or is looking at is left to them, and gets no decision.

    Args:
        seen: the decisions that the reviewer had before them, by sample; those are overridden as
            they are under a lease.
        batch: what the decisions are told by when they are undone together, see `review.undo`.

    Raises:
        InvalidInput: if the category is of another project; then nothing is decided.
    """
    made = []
    outcome = Decision.Outcome.LABELLED if category else Decision.Outcome.DISCARDED
    # In the order of their keys, so that two callers cannot deadlock
    for sample in sorted(samples, key=lambda each: each.pk):
        _check_category(sample, category)
        try:
            decision = _append(
                sample,
                outcome,
                category,
                by=by,
                reason=reason,
                prediction=None,
                seen=seen.get(sample.pk),
                batch=batch,
            )
        except Conflict:
            continue
        made.append(decision)
    return made


@durable_transaction()
def send_to_review(samples: Iterable[Sample], *, by: User) -> int:
    """Have samples come to the review queue, decided or not; return how many are new there.

    A decision stays in force until somebody decides otherwise. Sent twice, it asks once.
    """
    keys = [sample.pk for sample in samples]
    locked = list(Sample.objects.filter(pk__in=keys).order_by("pk").select_for_update())
    found = latest_decisions(locked)
    # A request is about a decision; that nothing is decided is one as well
    wanted = [found.get(sample.pk) or reopen(sample, by=by) for sample in locked]
    return rechecks.request_rechecks(
        [(decision, f"asked after {decision.pk}") for decision in wanted], Recheck.Reason.REQUESTED
    )


@durable_transaction()
def discard_many(samples: Iterable[Sample], *, by: User, reason: str) -> list[Decision]:
    """Decide that deleted images are of no use for training.

    Samples that nobody decided about, or that are discarded already, get no new decision.
    """
    keys = [sample.pk for sample in samples]
    # Locked in the order of their keys, so that two callers cannot deadlock
    locked = list(Sample.objects.filter(pk__in=keys).order_by("pk").select_for_update())
    before = latest_decisions(locked)
    return Decision.objects.bulk_create(
        Decision(
            sample=sample,
            outcome=Decision.Outcome.DISCARDED,
            reviewer=by,
            reason=normalize_reason(reason),
        )
        for sample in locked
        if sample.pk in before and before[sample.pk].outcome != Decision.Outcome.DISCARDED
    )


@durable_transaction()
def label_many(
    project: Project, pairs: Iterable[tuple[Sample, Category]], *, by: User | None, reason: str
) -> list[Decision]:
    """Label imported samples, given as (sample, category) pairs, in one query per thousand.

    Raises:
        InvalidInput: if a sample or a category is of another project; then nothing is written.
    """
    decisions = []
    for sample, category in pairs:
        if {sample.project_id, category.project_id} != {project.pk}:
            raise InvalidInput(
                _("A sample or category belongs to another project than %(name)s.")
                % {"name": project}
            )
        decisions.append(
            Decision(
                sample=sample,
                outcome=Decision.Outcome.LABELLED,
                category=category,
                reviewer=by,
                reason=normalize_reason(reason),
            )
        )
    return Decision.objects.bulk_create(decisions, batch_size=1000)


@durable_transaction()
def label_many_multilabel(
    project: Project,
    labels: Iterable[tuple[Sample, Sequence[Category]]],
    *,
    by: User | None,
    reason: str,
) -> list[Decision]:
    """Label imported samples with all the categories that they show, at least one each.

    Raises:
        InvalidInput: as `label_many`, and for several categories where they exclude each other.
    """
    # Once each, in the order given: the first is the decision's own category
    wanted = [(sample, list(dict.fromkeys(shown))) for sample, shown in labels]
    if not project.multilabel and any(len(shown) > 1 for _sample, shown in wanted):
        raise InvalidInput(
            _("The categories of this project exclude each other. Name one for each picture.")
        )
    if any(one.project_id != project.pk for _sample, shown in wanted for one in shown):
        raise InvalidInput(
            _("A sample or category belongs to another project than %(name)s.") % {"name": project}
        )
    made = label_many(
        project, [(sample, shown[0]) for sample, shown in wanted], by=by, reason=reason
    )
    AdditionalCategory.objects.bulk_create(
        AdditionalCategory(decision=decision, category=category)
        for decision, (_sample, shown) in zip(made, wanted, strict=True)
        for category in shown[1:]
    )
    return made


@durable_transaction()
def reinstate(sample: Sample, decision: Decision | None, *, by: User) -> Decision:
    """Decide once more what an earlier decision said; without one, that nothing is decided."""
    if decision is None or decision.outcome == Decision.Outcome.REOPENED:
        return reopen(sample, by=by)
    again = Decision.objects.create(
        sample=sample,
        prediction=decision.prediction,
        outcome=decision.outcome,
        category=decision.category,
        reviewer=by,
        reason=decision.reason,
    )
    AdditionalCategory.objects.bulk_create(
        AdditionalCategory(decision=again, category=each.category)
        for each in decision.additional_categories.select_related("category")
    )
    return again


def normalize_reason(reason: str) -> str:
    return " ".join(reason.split())[:MAX_REASON]


def _check_category(sample: Sample, category: Category | None) -> None:
    if category and category.project_id != sample.project_id:
        raise InvalidInput(
            _("This category belongs to another project. Choose one of this sample's project.")
        )
    if category and category.removed_at:
        raise InvalidInput(
            _("The category “%(name)s” was deleted. Choose another one.") % {"name": category.name}
        )


@durable_transaction()
def _append(
    sample: Sample,
    outcome: Decision.Outcome,
    category: Category | None,
    *,
    by: User,
    reason: str,
    prediction: Prediction | None,
    seen: int | None = None,
    batch: UUID | None = None,
) -> Decision:
    """Store a decision and release the lease.

    Sent again, because the response was lost, it returns the row of the first time. `seen` is the
    decision that the reviewer had before them.
    """
    # Locked, so that two decisions about a sample are made one after the other
    Sample.objects.select_for_update().get(pk=sample.pk)
    decision = Decision(
        sample=sample,
        prediction=prediction,
        outcome=outcome,
        category=category,
        reviewer=by,
        reason=normalize_reason(reason),
        batch=batch,
    )
    before = latest_decision(sample)
    # Where it is looked at again, saying the same once more is a decision
    if before and _says_the_same(before, decision) and not rechecks.is_open(before):
        leases.release(sample, by)
        return before
    # Without a lease, as when it ran out, only if nobody was or is before us
    if not leases.is_held_by(sample, by):
        is_theirs = (
            before is not None
            and before.outcome != Decision.Outcome.REOPENED
            and before.reviewer_id != by.pk
            and before.pk != seen
        )
        if is_theirs:
            raise AlreadyDecided(
                _(
                    "Somebody else has decided this sample in the meantime. Your decision was not "
                    "kept. Take the next one."
                )
            )
        if leases.is_held_by_another(sample, by):
            raise Conflict(_("Another reviewer is looking at this sample now. Take the next one."))
    decision.save()
    answers.tell_of_decision(decision)
    leases.release(sample, by)
    return decision


def _says_the_same(before: Decision, decision: Decision) -> bool:
    said = ("reviewer_id", "outcome", "category_id", "reason", "prediction_id")
    return (
        all(getattr(before, name) == getattr(decision, name) for name in said)
        and not before.additional_categories.exists()
    )
