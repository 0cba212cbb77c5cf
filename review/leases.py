"""Leases of a few minutes, so that two reviewers never get the same sample.

One row per sample, guarded by the database: a lease is taken by an INSERT, which a unique
constraint refuses to a second reviewer, or by an UPDATE that filters on the old lease having
expired. Both are safe on SQLite and on PostgreSQL without a lock that outlives the statement. A
reviewer holds one lease at a time; the page renews it while it is shown.
"""

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


def release_all(reviewer: User) -> None:
    """Release what the reviewer holds: they left, or look at something else."""
    Lease.objects.filter(reviewer=reviewer).delete()


def skip_sample(sample: Sample, reviewer: User) -> None:
    """Leave the sample to others: this reviewer does not get it again."""
    Skip.objects.get_or_create(sample=sample, reviewer=reviewer)
    release(sample, reviewer)


def clear_skips(reviewer: User) -> int:
    """Take back all of the reviewer's skips; return how many there were."""
    return Skip.objects.filter(reviewer=reviewer).delete()[0]
