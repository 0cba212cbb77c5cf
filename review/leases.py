"""Leases of a few minutes, so that two reviewers never get the same sample.

One row per sample, guarded by the database: a lease is taken by an INSERT, which a unique
constraint refuses to a second reviewer, or by an UPDATE that filters on the old lease having
expired. Both are safe on SQLite and on PostgreSQL without a lock that outlives the statement. A
reviewer holds those of the samples on the page, also of the next few; the page renews them while
it is shown.
"""

from collections.abc import Collection, Iterable
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from predictions.models import Sample
from review.models import Lease, Skip


def acquire(sample: Sample, reviewer: User) -> bool:
    """Lease the sample to the reviewer, or renew their lease; False if somebody else holds it."""
    now = timezone.now()
    until = now + timedelta(seconds=settings.REVIEW_LEASE_SECONDS)
    free = Lease.objects.filter(Q(reviewer=reviewer) | Q(until__lte=now), sample=sample)
    if free.update(reviewer=reviewer, until=until):
        return True
    try:
        # A savepoint: on PostgreSQL a failed INSERT would spoil the caller's transaction
        with transaction.atomic():
            Lease.objects.create(sample=sample, reviewer=reviewer, until=until)
    except IntegrityError:
        return False
    return True


def is_held_by(sample: Sample, reviewer: User) -> bool:
    """Say whether the reviewer has a lease on the sample that has not expired."""
    return Lease.objects.filter(sample=sample, reviewer=reviewer, until__gt=timezone.now()).exists()


def is_held_by_another(sample: Sample, reviewer: User) -> bool:
    return (
        Lease.objects.filter(sample=sample, until__gt=timezone.now())
        .exclude(reviewer=reviewer)
        .exists()
    )


def release(sample: Sample, reviewer: User) -> None:
    """Release a lease, if the reviewer has it."""
    Lease.objects.filter(sample=sample, reviewer=reviewer).delete()


def acquire_each(samples: Iterable[Sample], reviewer: User) -> list[Sample]:
    """Lease these samples to the reviewer, or renew their leases; return those they have now.

    Four queries, however many they are.
    """
    wanted = list(samples)
    now = timezone.now()
    until = now + timedelta(seconds=settings.REVIEW_LEASE_SECONDS)
    of_these = Lease.objects.filter(sample__in=wanted)
    of_these.filter(Q(reviewer=reviewer) | Q(until__lte=now)).update(reviewer=reviewer, until=until)
    leased = set(of_these.values_list("sample", flat=True))
    # Whom the unique constraint refuses was a moment too late
    Lease.objects.bulk_create(
        (
            Lease(sample=each, reviewer=reviewer, until=until)
            for each in wanted
            if each.pk not in leased
        ),
        ignore_conflicts=True,
    )
    mine = set(of_these.filter(reviewer=reviewer, until__gt=now).values_list("sample", flat=True))
    return [sample for sample in wanted if sample.pk in mine]


def release_each(samples: Iterable[Sample], reviewer: User) -> None:
    """Release the leases that the reviewer has on these samples."""
    Lease.objects.filter(sample__in=list(samples), reviewer=reviewer).delete()


def release_all(reviewer: User, *, but: Collection[int] = ()) -> None:
    """Release what the reviewer holds but these samples: they look at something else."""
    Lease.objects.filter(reviewer=reviewer).exclude(sample__in=list(but)).delete()


def skip_sample(sample: Sample, reviewer: User) -> None:
    """Leave the sample to others: this reviewer does not get it again."""
    Skip.objects.get_or_create(sample=sample, reviewer=reviewer)
    release(sample, reviewer)


def clear_skips(reviewer: User, sample: Sample | None = None) -> int:
    """Take back the reviewer's skips, all or that of one sample; return how many there were."""
    skips = Skip.objects.filter(reviewer=reviewer)
    return (skips.filter(sample=sample) if sample else skips).delete()[0]
