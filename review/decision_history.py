"""The decisions so far, newest first, in pages by key."""

from accounts import roles
from accounts.models import User
from common.pagination import KeysetPage, keyset_page
from predictions import project_access
from predictions.models import Project, Sample
from review.models import Decision

PAGE = 25


def decision_page(
    *,
    seen_by: User,
    project: Project | None = None,
    outcome: str = "",
    reviewer: User | None = None,
    with_imported: bool = False,
    before: int | None = None,
) -> KeysetPage[Decision]:
    """Return one page of decisions, of everybody or of one reviewer.

    Args:
        seen_by: who looks at them: of projects that they review.
        with_imported: those about imported samples, too, of which each brings its own.
    """
    own = project_access.within(seen_by, roles.REVIEW, "sample__project")
    decisions = (
        Decision.objects.filter(own)
        .select_related("sample__project", "category", "reviewer", "prediction__top")
        .defer("sample__capture", "prediction__scores")
    )
    if project:
        decisions = decisions.filter(sample__project=project)
    if outcome:
        decisions = decisions.filter(outcome=outcome)
    if reviewer:
        decisions = decisions.filter(reviewer=reviewer)
    if not with_imported:
        decisions = decisions.exclude(sample__origin=Sample.Origin.IMPORT)
    return keyset_page(decisions, after=before, size=PAGE)
