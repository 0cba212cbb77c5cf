"""Holds: a picture is kept while somebody reviews it, and once somebody has."""

from django.db.models import Exists, OuterRef
from django.utils import timezone

from predictions import holds
from review.models import Decision, Lease


@holds.locks_feedback
def has_decision_in_force() -> Exists:
    """The newest decision was not undone."""
    in_force = Decision.objects.in_force().filter(sample=OuterRef("pk"))
    return Exists(in_force.exclude(outcome=Decision.Outcome.REOPENED))


@holds.blocks_deletion
def was_ever_decided() -> Exists:
    """Even if the decision was undone: then the sample waits for the next one."""
    return Exists(Decision.objects.filter(sample=OuterRef("pk")))


@holds.blocks_deletion
def is_leased() -> Exists:
    """A reviewer is looking at it just now."""
    return Exists(Lease.objects.filter(sample=OuterRef("pk"), until__gt=timezone.now()))
