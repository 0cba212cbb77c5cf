"""Undoing one's own newest decision, as often as one likes, or several made at once."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import roles
from accounts.models import User
from common.errors import Conflict
from common.transactions import durable_transaction
from predictions import project_access
from predictions.models import Sample
from review import decisions, leases
from review.models import Decision

MAX_UNDO_LOOKBACK = 100  # how many of one's own decisions are searched for one to undo


class NothingToUndo(Conflict):
    """This reviewer has no decision that is still in force."""

    code = "nothing_to_undo"


@durable_transaction()
def undo_latest(reviewer: User, *, decision_key: int | None = None) -> Decision:
    """Undo this reviewer's newest decision in force, and lease its sample to them again.

    Called again, it undoes the one before. Imported labels are left alone: they were no decision
    about a picture that somebody saw.

    Args:
        decision_key: which decision to undo, as the page showed it. If it is sent twice, because
            the first response was lost, the decision is undone once.

    Returns:
        The new row, REOPENED.

    Raises:
        NothingToUndo: if there is none left that is in force.
        Conflict: if somebody else is looking at the sample.
    """
    own = _own_decisions(reviewer)
    newest = own.order_by("-id")[:MAX_UNDO_LOOKBACK]
    for decision in own.filter(pk=decision_key) if decision_key else newest:
        sample = Sample.objects.select_for_update().get(pk=decision.sample_id)
        if decisions.latest_decision(sample) == decision:
            break
        # Sent twice: it is undone already, and the sample still has to come onto the screen
        if decision_key and (undone := _undone(decision, reviewer)):
            leases.acquire(sample, reviewer)
            return undone
    else:
        raise NothingToUndo(_("You have nothing left to undo."))
    if not leases.acquire(sample, reviewer):
        raise Conflict(
            _(
                "Another reviewer is looking at the sample you decided last. Try again in a few "
                "minutes."
            )
        )
    return decisions.reopen(sample, by=reviewer, prediction=decision.prediction)


@durable_transaction()
def undo_each(keys: Iterable[int], *, by: User) -> int:
    """Undo those of these decisions that are the reviewer's and still in force; return how many.

    Sent twice, it undoes them once.
    """
    own = Decision.objects.filter(pk__in=list(keys), reviewer=by).exclude(
        outcome=Decision.Outcome.REOPENED
    )
    samples = own.order_by("sample").values_list("sample", flat=True)
    # Locked in the order of their keys, so that two callers cannot deadlock
    locked = list(Sample.objects.filter(pk__in=list(samples)).order_by("pk").select_for_update())
    wanted = set(own.values_list("pk", flat=True))
    newest = decisions.latest_decisions(locked)
    in_force = [each for each in locked if each.pk in newest and newest[each.pk].pk in wanted]
    for sample in in_force:
        decisions.reopen(sample, by=by)
    return len(in_force)


@durable_transaction()
def undo_batch(batch: UUID, *, by: User, most: int) -> int:
    """Undo up to `most` decisions that the reviewer made at once and that are still in force;
    return how many. What was decided before them counts again.
    """
    own = Decision.objects.in_force().filter(batch=batch, reviewer=by)
    samples = list(own.order_by("sample").values_list("sample", flat=True)[:most])
    # Locked in the order of their keys, so that two callers cannot deadlock
    locked = list(Sample.objects.filter(pk__in=samples).order_by("pk").select_for_update())
    newest = decisions.latest_decisions(locked)
    undone = 0
    for sample in locked:
        if newest[sample.pk].batch == batch:
            earlier = Decision.objects.newest_first(sample).filter(pk__lt=newest[sample.pk].pk)
            before = earlier.select_related("category", "prediction").first()
            decisions.reinstate(sample, before, by=by)
            undone += 1
    return undone


def undoable(reviewer: User) -> Decision | None:
    """Return what `undo_latest` would undo: this reviewer's newest decision in force, or None."""
    lately = _own_decisions(reviewer).order_by("-id").values("pk")[:MAX_UNDO_LOOKBACK]
    return Decision.objects.in_force().filter(pk__in=lately).order_by("-id").first()


def _own_decisions(reviewer: User) -> QuerySet[Decision]:
    """Return a reviewer's decisions about pictures that they saw."""
    may_still = project_access.within(reviewer, roles.REVIEW, "sample__project")
    own = Decision.objects.filter(may_still, reviewer=reviewer, prediction__isnull=False)
    return own.exclude(outcome=Decision.Outcome.REOPENED)


def _undone(decision: Decision, reviewer: User) -> Decision | None:
    """Return the row by which this reviewer undid a decision, if nobody has decided since."""
    after = decisions.latest_decision(decision.sample)
    if (
        after is None
        or after.outcome != Decision.Outcome.REOPENED
        or after.reviewer_id != reviewer.pk
    ):
        return None
    between = Decision.objects.filter(
        sample=decision.sample_id, pk__gt=decision.pk, pk__lt=after.pk
    )
    return None if between.exists() else after
