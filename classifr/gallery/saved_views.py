"""The views of the gallery that people come back to, each an address."""

from dataclasses import dataclass

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class SavedView:
    name: str | Promise
    query: str
    is_open: bool = False


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
