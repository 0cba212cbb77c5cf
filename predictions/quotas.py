"""How many pictures a user may send, in a short time and in a day: a meter in the database, one row per user.

Exact over all processes and machines, without any cache that they would have to share, and it survives a restart. The
rate is counted in windows of fixed length: cheap, and exact enough for a rate.
"""

from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from classifr.common.errors import QuotaReached
from predictions.models import DailyUploads

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def count_one(user: User) -> None:
    """Count one more picture of this user, or raise QuotaReached. What turns out to be no picture counts as well."""
    now = timezone.now().astimezone(UTC)
    today, window = now.date(), int(now.timestamp() // _window_seconds())
    if _count(user, today, window):
        return
    # The first upload ever, or too many; of two first ones at once both find the row that one of them made
    DailyUploads.objects.bulk_create([DailyUploads(user=user, day=today, window=window)], ignore_conflicts=True)
    if not _count(user, today, window):
        raise _refusal(user, now)


def _count(user: User, today: date, window: int) -> bool:
    """Count in one guarded UPDATE, which also begins a new day and a new window.

    In SQL, as it is done for every picture: to put it together from expressions takes ten times as long as to do it.
    """
    quote = connection.ops.quote_name
    table, window_column = quote(DailyUploads._meta.db_table), quote("window")  # a word of SQL's own
    day = connection.ops.adapt_datefield_value(today)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET"  # noqa: S608 (names of our own)
            " pictures = CASE WHEN day = %s THEN pictures + 1 ELSE 1 END,"
            f" in_window = CASE WHEN {window_column} = %s THEN in_window + 1 ELSE 1 END,"
            f" day = %s, {window_column} = %s"
            " WHERE user_id = %s AND (day <> %s OR pictures < %s)"
            f" AND ({window_column} <> %s OR in_window < %s)",
            [day, window, day, window, user.pk, day, settings.UPLOAD_QUOTA, window, _most_in_window()],
        )
        return cursor.rowcount == 1


def _refusal(user: User, now: datetime) -> QuotaReached:
    if DailyUploads.objects.filter(user=user, day=now.date(), pictures__gte=settings.UPLOAD_QUOTA).exists():
        midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
        message = _("You have sent %(count)s pictures today, which is the limit. Go on tomorrow, or ask a maintainer.")
        wait = int((midnight - now).total_seconds()) + 1
        return QuotaReached(message % {"count": settings.UPLOAD_QUOTA}, retry_after_seconds=wait)
    wait = int(_window_seconds() - now.timestamp() % _window_seconds()) + 1
    message = _("These were more than %(count)s pictures in a short time. Try again in %(seconds)s seconds.")
    return QuotaReached(message % {"count": _most_in_window(), "seconds": wait}, retry_after_seconds=wait)


def _most_in_window() -> int:
    return int(settings.UPLOAD_RATE.partition("/")[0])


def _window_seconds() -> int:
    return _SECONDS[settings.UPLOAD_RATE.partition("/")[2][:1]]
