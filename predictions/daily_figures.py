"""Predictions and verdicts by day, counted once per day so that figures cost the same at any size.

Nothing is added up as it happens, which would drift: a day is counted from its rows, again and
again while it lasts and once more when it is over. A verdict belongs to the day it was given on.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta

from django.db.models import Count, Max, Q
from django.utils import timezone

from common.tasks import periodic
from predictions.models import DailyFigures, Feedback, Prediction, Project

DAYS = 31  # that the chore keeps counted
FRESH_SECONDS = 10  # for so long the count of a day that is not over holds
COUNTS = ("predictions", "abstained", "unfamiliar", "ok", "nok", "unsure")


@periodic(seconds=300)
def count_days() -> int:
    """Count every day of the last weeks that is not counted to its end; return how many."""
    today = timezone.localdate()
    days = [today - timedelta(days=back) for back in range(DAYS)]
    counted = 0
    for project in Project.objects.all():
        for day in _uncounted(project, days):
            count_day(project, day)
            counted += 1
    return counted


def recent_figures(project: Project, days: int) -> list[DailyFigures]:
    """Return the last days, the oldest first and today last; a day that has no count is empty.

    Today is counted now if the chore has not just done so; reading keeps nothing.
    """
    today = timezone.localdate()
    wanted = [today - timedelta(days=back) for back in reversed(range(days))]
    found = {
        each.day: each for each in DailyFigures.objects.filter(project=project, day__in=wanted)
    }
    newest = found.get(today)
    if newest is None or newest.counted_at < timezone.now() - timedelta(seconds=FRESH_SECONDS):
        found[today] = _count(project, today)
    empty = dict.fromkeys(COUNTS, 0)
    return [found.get(day) or DailyFigures(project=project, day=day, **empty) for day in wanted]


def count_day(project: Project, day: date) -> DailyFigures:
    """Count one day of a project as it is now, and keep that."""
    counted = _count(project, day)
    figures = {name: getattr(counted, name) for name in (*COUNTS, "counted_at")}
    return DailyFigures.objects.update_or_create(project=project, day=day, defaults=figures)[0]


def _count(project: Project, day: date) -> DailyFigures:
    now = timezone.now()
    begins = timezone.make_aware(datetime.combine(day, time.min))
    ends = timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min))
    answers = Prediction.objects.filter(
        project=project, created_at__gte=begins, created_at__lt=ends
    ).aggregate(
        predictions=Count("pk"),
        abstained=Count("pk", filter=Q(abstained=True)),
        unfamiliar=Count("pk", filter=Q(is_unfamiliar=True)),
    )
    verdicts = Feedback.objects.filter(
        prediction__project=project, created_at__gte=begins, created_at__lt=ends
    ).aggregate(
        ok=Count("pk", filter=Q(verdict=Feedback.Verdict.OK)),
        nok=Count("pk", filter=Q(verdict=Feedback.Verdict.NOK)),
        unsure=Count("pk", filter=Q(verdict=Feedback.Verdict.UNSURE)),
    )
    return DailyFigures(project=project, day=day, counted_at=now, **answers, **verdicts)


def _uncounted(project: Project, days: Sequence[date]) -> Iterator[date]:
    """Yield the days that were never counted after their end, and today."""
    counted = DailyFigures.objects.filter(project=project, day__in=days)
    last_count = dict(counted.values_list("day").annotate(Max("counted_at")))
    for day in days:
        ends = timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min))
        if day not in last_count or last_count[day] < ends:
            yield day
