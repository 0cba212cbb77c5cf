"""The rulings so far, newest first, in pages by key: no OFFSET and no COUNT."""

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import User
from predictions.models import Project
from review.models import Decision

PAGE = 25


@dataclass(frozen=True)
class Page:
    rows: Sequence[Decision]
    older: int | None  # `before` of the next page


def decision_page(
    *,
    project: Project | None = None,
    outcome: str = "",
    reviewer: User | None = None,
    before: int | None = None,
) -> Page:
    """Return one page of rulings, of anybody or of one reviewer."""
    decisions = Decision.objects.order_by("-pk")
    if project:
        decisions = decisions.filter(sample__project=project)
    if outcome:
        decisions = decisions.filter(outcome=outcome)
    if reviewer:
        decisions = decisions.filter(reviewer=reviewer)
    if before:
        decisions = decisions.filter(pk__lt=before)
    decisions = decisions.select_related(
        "sample__project", "category", "reviewer", "prediction__top"
    )
    found = list(decisions.defer("sample__capture", "prediction__scores")[: PAGE + 1])
    return Page(found[:PAGE], found[PAGE - 1].pk if len(found) > PAGE else None)
