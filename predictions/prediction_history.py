"""A user's own predictions: filters from an allow-list, pages by key.

No OFFSET and no COUNT: each page is one walk along an index, as quick with a million rows as with
ten.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import Exists, OuterRef, Prefetch, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import InvalidInput
from common.numbers import MAX_KEY, natural_number
from common.pagination import KeysetPage, keyset_page
from predictions import project_access
from predictions.models import Category, Feedback, Prediction, Project

PAGE = 24
UNANSWERED = "none"
CLOCK_SLACK = timedelta(hours=1)  # how far the order of keys and that of times may differ

# What a page about one prediction shows.
RELATED_FIELDS = ("project", "sample", "model_version", "stood_in_for", "top")
ALLOWED = ("project", "verdict", "category", "since", "until", "before")


@dataclass(frozen=True)
class HistoryFilters:
    """What to show; each field is named as its parameter, and empty or None where all is."""

    project: str = ""
    verdict: str = ""
    category: str = ""
    since: date | None = None
    until: date | None = None
    before: int | None = None


def parse_filters(parameters: Mapping[str, str]) -> HistoryFilters:
    """Read filters from the parameters of a request.

    Raises:
        InvalidInput: if one is unknown or makes no sense.
    """
    for name in parameters:
        if name not in ALLOWED:
            raise _refusal(
                name,
                _("There is no filter of this name. There are: %(names)s.")
                % {"names": ", ".join(ALLOWED)},
            )
    verdict = parameters.get("verdict", "")
    if verdict and verdict not in [*Feedback.Verdict.values, UNANSWERED]:
        raise _refusal("verdict", _("Please choose OK, NOK, UNSURE or none."))
    text = parameters.get("before", "")
    before = natural_number(text)
    if text and before is None:
        raise _refusal(
            "before", _("This is not the end of a page. Please follow the links from page to page.")
        )
    return HistoryFilters(
        project=_text(parameters, "project"),
        verdict=verdict,
        category=_text(parameters, "category"),
        since=_day(parameters, "since"),
        until=_day(parameters, "until"),
        before=before,
    )


def history_page(user: User, wanted: HistoryFilters, *, size: int = PAGE) -> KeysetPage[Prediction]:
    """Return one page of a user's predictions, each with `own_feedback` (a list)."""
    own = Feedback.objects.filter(user=user).select_related("category")
    rows = (
        _matching(user, wanted)
        .select_related("project", "sample", "top", "model_version", "stood_in_for")
        # Long JSON that no list shows.
        .defer("model_version__manifest", "model_version__class_names", "sample__capture")
        .defer("stood_in_for__manifest", "stood_in_for__class_names")
        .prefetch_related(Prefetch("feedback", queryset=own, to_attr="own_feedback"))
    )
    return keyset_page(rows, after=wanted.before or None, size=size)


def _matching(user: User, wanted: HistoryFilters) -> QuerySet[Prediction]:
    # By keys rather than by names of other tables, so that the database finds the fitting index.
    rows = Prediction.objects.visible_to(user).filter(project_access.visible(user))
    if wanted.project:
        rows = rows.filter(
            project__in=list(
                Project.objects.filter(slug=wanted.project).values_list("pk", flat=True)
            )
        )
    if wanted.category:
        named = Category.objects.filter(name=wanted.category)
        named = named.filter(project__slug=wanted.project) if wanted.project else named
        rows = rows.filter(top__in=list(named.values_list("pk", flat=True)))
    if wanted.verdict == UNANSWERED:
        rows = rows.exclude(Exists(Feedback.objects.filter(prediction=OuterRef("pk"), user=user)))
    elif wanted.verdict:
        rows = rows.filter(feedback__user=user, feedback__verdict=wanted.verdict)
    return _between(rows, user, wanted)


def _between(
    rows: QuerySet[Prediction], user: User, wanted: HistoryFilters
) -> QuerySet[Prediction]:
    """Keep the days asked for."""
    # Bounds on the key, found by the index on the time, spare a walk over all the others. Keys and
    # times rise together but for transactions that overlap: hence the slack.
    own = Prediction.objects.visible_to(user)
    if wanted.since:
        start = _midnight(wanted.since)
        first = (
            own.filter(created_at__gte=start - CLOCK_SLACK)
            .order_by("created_at")
            .values_list("pk", flat=True)
        )
        rows = rows.filter(created_at__gte=start, pk__gte=first.first() or MAX_KEY)
    if wanted.until:
        end = _midnight(wanted.until + timedelta(days=1))
        last = (
            own.filter(created_at__lt=end + CLOCK_SLACK)
            .order_by("-created_at")
            .values_list("pk", flat=True)
        )
        rows = rows.filter(created_at__lt=end, pk__lte=last.first() or 0)
    return rows


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _text(parameters: Mapping[str, str], name: str) -> str:
    value = parameters.get(name, "")
    if len(value) > 100 or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in value):
        raise _refusal(name, _("There is nothing of this name."))
    return value


def _day(parameters: Mapping[str, str], name: str) -> date | None:
    value = parameters.get(name, "")
    if not value:
        return None
    try:
        day = parse_date(value)
    except ValueError:
        day = None
    # At the ends of the calendar a time zone would lead out of it.
    if day is None or not 1970 <= day.year <= 9000:
        raise _refusal(name, _("Please give a day as YYYY-MM-DD."))
    return day


def _refusal(name: str, sentence: str) -> InvalidInput:
    return InvalidInput(sentence, fields={name: [sentence]})
