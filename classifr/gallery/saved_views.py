"""The views of the gallery that people come back to, each an address."""

from dataclasses import dataclass, replace

from django.conf import settings
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from classifr.gallery import pages
from classifr.gallery.forms import GalleryForm
from classifr.gallery.pages import Count
from predictions.models import Project


@dataclass(frozen=True)
class SavedView:
    name: str | Promise
    query: str
    is_open: bool = False
    count: Count | None = None


def saved_views(query: str) -> list[SavedView]:
    """Return the views, and which one of them this query opens."""
    low = f"{settings.REVIEW_LOW_CONFIDENCE * 100:g}"
    known = [
        (_("All"), ""),
        (_("Model wrong"), "model=wrong"),
        (_("Likely label errors"), "sign=label-error"),
        (_("Duplicates"), "sign=duplicate"),
        (_("Unfamiliar"), "sign=unfamiliar"),
        (_("Not labelled"), "state=unlabelled"),
        (_("Low confidence"), f"high={low}"),
        (_("Test split"), "split=test"),
        (_("Discarded"), "state=discarded"),
    ]
    return [SavedView(name, view, view == query) for name, view in known]


def counted_views(project: Project) -> list[SavedView]:
    """Return the views with how many samples each shows, up to a hundred or so."""
    return [
        replace(view, count=pages.count_few(GalleryForm(project, QueryDict(view.query)).filters()))
        for view in saved_views("")
        if view.query
    ]
