"""Decisions that somebody has to look at again, and why; upper apps may ask for it, too."""

from collections.abc import Iterable

from django.db.models import Exists, OuterRef, QuerySet

from review.models import Decision, Recheck


def request_rechecks(decisions: Iterable[tuple[Decision, str]], reason: Recheck.Reason) -> int:
    """Have samples come to the review queue again, given as a decision in force and what is the
    matter with it; return how many are new.

    For the same matter a sample comes once, so that who has decided is not asked again.
    """
    wanted = {(decision.sample_id, about): decision for decision, about in decisions}
    asked = set(
        Recheck.objects.filter(sample__in={sample for sample, _about in wanted}).values_list(
            "sample_id", "about"
        )
    )
    new = Recheck.objects.bulk_create(
        (
            Recheck(sample_id=sample, decision=decision, reason=reason, about=about)
            for (sample, about), decision in wanted.items()
            if (sample, about) not in asked
        ),
        ignore_conflicts=True,
    )
    return len(new)


def open_rechecks() -> QuerySet[Recheck]:
    """Return what still waits: nobody has decided about the sample since."""
    newer = Decision.objects.filter(sample=OuterRef("sample"), pk__gt=OuterRef("decision"))
    return Recheck.objects.filter(~Exists(newer))


def is_open(decision: Decision) -> bool:
    """Say whether this decision is to be looked at again."""
    return open_rechecks().filter(decision=decision).exists()
