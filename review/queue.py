"""The review queue: which samples need a human, and why. It is a query, never a stored list.

A sample waits if it has a picture, no decision in force, and at least one reason. The reasons, the
most urgent first: a user said NOK; a user was not sure; the picture is out of distribution; the
model abstained otherwise; it had little confidence; the audit drew it. Also waits what is decided
but has to be looked at again: two reviewers disagree, near duplicates have different labels,
somebody asked for it, or a second opinion is wanted (see `review.rechecks`,
`review.second_opinions`). Those that a user asked
for and those that are looked at again come in turn, the oldest first, so that nobody waits for
ever. Of the others the newest comes first: what people send today is what the next model must know.

Cost: `waiting_samples` reads candidates along one index, a few hundred at first, and stops where
one qualifies; the query plans of these steps do not depend on the size of the tables. NOK and "not
sure" never drop out, however old, but what was decided lies below the mark (see
`review.low_water_mark`). The other reasons are sought among the newest `REVIEW_RECENT` predictions
only: neither a million confident ones nor those whose picture was deleted long ago are ever read.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import roles
from accounts.models import User
from common.tasks import periodic
from predictions import project_access
from predictions.models import Feedback, Prediction, Project, Sample
from review import ground_truth, leases, low_water_mark, rechecks, second_opinions
from review.models import Decision, Lease, Recheck, Skip

SCAN_STEPS = (200, 2000)  # candidates read at once, before one query looks through all the rest
MAX_CANDIDATES = 5000


class Reason(models.TextChoices):
    """Why a sample waits, the most urgent first."""

    NOK = "nok", _("A user said NOK")
    UNSURE = "unsure", _("A user was not sure")
    DISAGREEMENT = "disagreement", _("Two reviewers disagree")
    CONTRADICTION = "contradiction", _("A near duplicate has another label")
    REQUESTED = "requested", _("Somebody asked for a look at it")
    UNFAMILIAR = "unfamiliar", _("Unlike anything in the training data")
    ABSTAINED = "abstained", _("The model abstained")
    LOW_CONFIDENCE = "low_confidence", _("The model had little confidence")
    SECOND_OPINION = "second_opinion", _("A second opinion, without the first in sight")
    AUDIT = "audit", _("Drawn at random, as an audit of the model")


VERDICTS = {Reason.NOK: Feedback.Verdict.NOK, Reason.UNSURE: Feedback.Verdict.UNSURE}


# Of samples that are decided already, or that somebody asked for
AGAIN = {
    Reason.DISAGREEMENT: Recheck.Reason.DISAGREEMENT,
    Reason.CONTRADICTION: Recheck.Reason.CONTRADICTION,
    Reason.REQUESTED: Recheck.Reason.REQUESTED,
}


@dataclass(frozen=True)
class QueueFilters:
    """What a reviewer wants to see. Categories go by name: a suggested one may have no row yet."""

    project: Project | None = None
    reason: str = ""
    version: int | None = None  # the id of a model version
    suggested: str = ""
    predicted: str = ""

    @property
    def ask_for_predictions(self) -> bool:
        """Whether only samples fit that a model has said something about."""
        return bool(self.version or self.suggested or self.predicted)


NO_FILTERS = QueueFilters()


def waiting_samples(
    reason: Reason, filters: QueueFilters = NO_FILTERS, reviewer: User | None = None
) -> Iterator[int]:
    """Yield the ids of samples that wait for this reason, in the order of the queue, each once.

    With a reviewer: without those that others are looking at and those that the reviewer skipped.
    """
    condition, seen = _open(filters, reviewer), set()
    batches: Iterable[list[int]]
    if reason in AGAIN or reason == Reason.SECOND_OPINION:
        again = _decided(reason, filters, reviewer)
        batches = [list(again.values_list("sample_id", flat=True)[:MAX_CANDIDATES])]
    elif verdict := VERDICTS.get(reason):
        batches = _asked_for(verdict, condition)
    else:
        rows = _answers(reason, filters).filter(condition).order_by("-pk")
        batches = [list(rows.values_list("sample_id", flat=True)[:MAX_CANDIDATES])]
    for samples in batches:
        for sample in samples:
            if sample not in seen:
                seen.add(sample)
                yield sample


def review_reason(
    sample: Sample, filters: QueueFilters = NO_FILTERS, reviewer: User | None = None
) -> Reason | None:
    """Return the most urgent reason for which this sample waits and fits the filters, or None.

    For a second opinion it only ever waits for a reviewer, and not for the one who gave the first.
    """
    for reason in wanted_reasons(filters):
        if reason in AGAIN or reason == Reason.SECOND_OPINION:
            if _decided(reason, filters, reviewer).filter(sample=sample).exists():
                return reason
        elif _answers(reason, filters).filter(_open(filters), sample=sample).exists():
            return reason
    return None


def wanted_reasons(filters: QueueFilters) -> list[Reason]:
    return [Reason(filters.reason)] if filters.reason else list(Reason)


def lease_several(
    reviewer: User,
    filters: QueueFilters = NO_FILTERS,
    *,
    limit: int,
    besides: Collection[UUID] = (),
) -> list[Sample]:
    """Lease up to `limit` samples that nobody else has to the reviewer, in the order of the queue.

    Those that they hold already come first while they wait and fit, so that a reload shows the
    same picture; the others' leases are released. Each sample has the `reason` for which it waits.

    Args:
        besides: what the page has already. Then nothing is released.
    """
    taken: dict[int, Sample] = {}
    own = project_access.within(reviewer, roles.REVIEW, "sample__project")
    held = Lease.objects.filter(own, reviewer=reviewer).exclude(sample__uuid__in=besides)
    for lease in held.select_related("sample__project").order_by("pk")[: 2 * limit]:
        if len(taken) == limit:
            break
        reason = review_reason(lease.sample, filters, reviewer)
        if reason and leases.acquire(lease.sample, reviewer):
            taken[lease.sample_id] = _with_reason(lease.sample, reason)
    if not besides:
        leases.release_all(reviewer, but=taken)
    skipped = set(Sample.objects.filter(uuid__in=besides).values_list("pk", flat=True))
    for reason in wanted_reasons(filters):
        if len(taken) == limit:
            break
        for pk in waiting_samples(reason, filters, reviewer):
            if pk in taken or pk in skipped:
                continue
            sample = Sample.objects.select_related("project").get(pk=pk)
            if not leases.acquire(sample, reviewer):
                continue
            if review_reason(sample, filters, reviewer):
                taken[pk] = _with_reason(sample, reason)
            else:
                leases.release(sample, reviewer)  # decided between the query and the lease
            if len(taken) == limit:
                break
    return list(taken.values())


def upcoming_samples(
    reviewer: User,
    filters: QueueFilters = NO_FILTERS,
    *,
    limit: int = 100,
    undecided: bool = False,
) -> list[int]:
    """Return the ids of up to `limit` samples that wait for this reviewer, in order.

    Args:
        undecided: only those that nobody has decided yet, none that is looked at again.
    """
    # A dict keeps the order: a sample counts for its most urgent reason
    found: dict[int, None] = {}
    for reason in wanted_reasons(filters):
        if undecided and (reason in AGAIN or reason == Reason.SECOND_OPINION):
            continue
        found.update(dict.fromkeys(islice(waiting_samples(reason, filters, reviewer), limit)))
        if len(found) >= limit:
            break
    return list(found)[:limit]


def _with_reason(sample: Sample, reason: Reason) -> Sample:
    sample.reason = reason  # type: ignore[attr-defined]
    return sample


def _asked_for(verdict: str, condition: Q) -> Iterator[list[int]]:
    """Yield in batches the samples that got a verdict, the oldest first.

    A long search moves the mark, so that the next one is shorter.
    """
    last = low_water_mark.get_mark(verdict)
    for step in SCAN_STEPS:
        facts = Feedback.objects.filter(verdict=verdict, pk__gt=last).order_by("pk")
        rows = list(facts.values_list("pk", "prediction_id")[:step])
        # By key, in a query of its own whose plan does not depend on the size of the tables
        fitting = Prediction.objects.filter(condition, pk__in=[answer for _key, answer in rows])
        sample_of = dict(fitting.values_list("pk", "sample_id"))
        yield [sample_of[answer] for _key, answer in rows if answer in sample_of]
        if len(rows) < step:
            return
        last = rows[-1][0]
    if low_water_mark.is_stale(verdict):
        low_water_mark.advance_mark(verdict, _open(NO_FILTERS))
    rest = Prediction.objects.filter(condition, feedback__verdict=verdict, feedback__pk__gt=last)
    yield list(rest.order_by("feedback__pk").values_list("sample_id", flat=True)[:MAX_CANDIDATES])


@periodic(seconds=600)
def advance_marks() -> None:
    """Keep the search for waiting samples short, see `review.low_water_mark`."""
    for verdict in VERDICTS.values():
        low_water_mark.advance_mark(verdict, _open(NO_FILTERS))


def _answers(reason: Reason, filters: QueueFilters) -> QuerySet[Prediction]:
    """Return the predictions that are a reason to look at their samples, decided or not."""
    if verdict := VERDICTS.get(reason):
        return Prediction.objects.filter(feedback__verdict=verdict)
    return _recent(filters).filter(_doubtful(reason))


def _decided(
    reason: Reason, filters: QueueFilters, reviewer: User | None
) -> "QuerySet[Recheck] | QuerySet[Decision]":
    """Return what asks for another look at samples that are decided, the oldest first."""
    if filters.ask_for_predictions:
        return Recheck.objects.none()
    rows: QuerySet[Any]
    if reason == Reason.SECOND_OPINION:
        if reviewer is None:
            return Recheck.objects.none()
        rows = second_opinions.decisions_to_second(reviewer, filters.project)
    else:
        rows = rechecks.open_rechecks().filter(reason=AGAIN[reason])
        # Who took part in a disagreement does not settle it, unless a maintainer
        if (
            reason == Reason.DISAGREEMENT
            and reviewer
            and not reviewer.has_perm(roles.MANAGE_CATEGORIES)
        ):
            rows = rows.exclude(decision__reviewer=reviewer).exclude(
                decision__second_opinion__reviewer=reviewer
            )
    rows = rows.exclude(sample__location=Sample.Location.NOWHERE)
    if filters.project:
        rows = rows.filter(sample__project=filters.project)
    else:
        rows = rows.filter(sample__project__removed_at=None)
        if reviewer:
            rows = rows.filter(project_access.within(reviewer, roles.REVIEW, "sample__project"))
    return (rows.filter(_not_taken(reviewer)) if reviewer else rows).order_by("pk")


def _doubtful(reason: Reason) -> Q:
    match reason:
        case Reason.UNFAMILIAR:
            return Q(is_unfamiliar=True)
        case Reason.ABSTAINED:
            return Q(abstained=True)
        case Reason.LOW_CONFIDENCE:
            return Q(confidence__lt=settings.REVIEW_LOW_CONFIDENCE)
        case _:
            # The audit. A digest is as good as a die, and draws a sample always or never
            share = settings.REVIEW_AUDIT_PERCENT / 100
            return Q(sample__sha256__lt="g" if share >= 1 else f"{int(max(share, 0) * 16**8):08x}")


def _recent(filters: QueueFilters) -> QuerySet[Prediction]:
    """Return the newest predictions, of the filters' project if there is one."""
    answers = (
        Prediction.objects.filter(project=filters.project)
        if filters.project
        else Prediction.objects.all()
    )
    just_too_old = (
        answers.order_by("-pk").values_list("pk", flat=True)[settings.REVIEW_RECENT :].first()
    )
    return answers.filter(pk__gt=just_too_old or 0)


def _open(filters: QueueFilters, reviewer: User | None = None) -> Q:
    """Return the condition on a prediction under which its sample is in the queue."""
    asked = ~Q(sample__location=Sample.Location.NOWHERE) & Q(ground_truth.is_undecided("sample"))
    if filters.project:
        asked &= Q(project=filters.project)
    else:
        # What a project that was removed holds goes in the background, and is out of sight at once
        asked &= Q(project__removed_at=None)
        if reviewer:
            asked &= project_access.within(reviewer, roles.REVIEW)
    if filters.version:
        asked &= Q(model_version=filters.version)
    if filters.predicted:
        asked &= Q(top__name=filters.predicted)
    if filters.suggested:
        named = Q(category__name=filters.suggested) | Q(suggestion=filters.suggested)
        asked &= Q(Exists(Feedback.objects.filter(named, prediction=OuterRef("pk"))))
    return asked & _not_taken(reviewer) if reviewer else asked


def _not_taken(reviewer: User) -> Q:
    """Return the condition that a row's sample is with nobody else, and was not skipped."""
    others = Lease.objects.filter(sample=OuterRef("sample"), until__gt=timezone.now()).exclude(
        reviewer=reviewer
    )
    skipped = Skip.objects.filter(sample=OuterRef("sample"), reviewer=reviewer)
    return ~Q(Exists(others)) & ~Q(Exists(skipped))
