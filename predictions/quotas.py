"""How much a user may have done with pictures in a short time and in a day: a meter per user.

Counted are pictures, and what decoding them costs: megapixels times scans, of which a picture may
have `UPLOAD_MEGAPIXELS` on average. Exact over all processes and machines, without any cache that
they would have to share, and it survives a restart. The rate is counted in windows of fixed length:
cheap, and exact enough for a rate; what is beyond the megapixels of one window is taken off the
next.
"""

from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import QuotaReached
from predictions.models import DailyUploads

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def count_upload(user: User, *, megapixels: float = 0.0) -> None:
    """Count one more picture of this user and what decoding it will cost, or raise QuotaReached.

    What turns out to be no picture counts as well.
    """
    _count_or_refuse(user, pictures=1, megapixels=megapixels)


def count_work(user: User, *, megapixels: float) -> None:
    """Count work on pictures that are not sent, or not sent one by one. Raises QuotaReached."""
    _count_or_refuse(user, pictures=0, megapixels=megapixels)


def _count_or_refuse(user: User, *, pictures: int, megapixels: float) -> None:
    now = timezone.now().astimezone(UTC)
    today, window = now.date(), int(now.timestamp() // _window_seconds())
    if _count(user, today, window, pictures, megapixels):
        return
    # The first upload ever, or too many; of two first ones at once both find the row that one of
    # them made.
    DailyUploads.objects.bulk_create(
        [DailyUploads(user=user, day=today, window=window)], ignore_conflicts=True
    )
    if not _count(user, today, window, pictures, megapixels):
        raise _refusal(user, now, pictures)


def _count(user: User, today: date, window: int, pictures: int, megapixels: float) -> bool:
    """Count in one guarded UPDATE, which also begins a new day and a new window."""
    # In SQL, as it is done for every picture: to put it together from expressions would take ten
    # times as long as to do it.
    quote = connection.ops.quote_name
    table, in_column = quote(DailyUploads._meta.db_table), quote("window")  # a word of SQL's own
    day = connection.ops.adapt_datefield_value(today)
    most = _megapixels_in_window()
    # Of an earlier window's megapixels; each window since then took off as many as one may have.
    left = f"megapixels_in_window - %s * (%s - {in_column})"
    left_over = f"CASE WHEN {in_column} > %s OR {left} < 0 THEN 0 ELSE {left} END"
    left_over_values = [window, most, window, most, window]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET"  # noqa: S608 (names of our own)
            " pictures = CASE WHEN day = %s THEN pictures + %s ELSE %s END,"
            " megapixels = CASE WHEN day = %s THEN megapixels + %s ELSE %s END,"
            f" in_window = CASE WHEN {in_column} = %s THEN in_window + %s ELSE %s END,"
            f" megapixels_in_window = ({left_over}) + %s,"
            f" day = %s, {in_column} = %s"
            " WHERE user_id = %s AND (day <> %s OR (pictures + %s <= %s AND megapixels < %s))"
            f" AND ({in_column} <> %s OR in_window + %s <= %s) AND ({left_over}) < %s",
            [
                *(day, pictures, pictures),
                *(day, megapixels, megapixels),
                *(window, pictures, pictures),
                *(*left_over_values, megapixels),
                *(day, window),
                *(user.pk, day, pictures, settings.UPLOAD_QUOTA, _megapixels_in_day()),
                *(window, pictures, _most_in_window(), *left_over_values, most),
            ],
        )
        return cursor.rowcount == 1


def _refusal(user: User, now: datetime, pictures: int) -> QuotaReached:
    # The same conditions as the UPDATE's, one by one: the first that fails is the reason.
    meter = DailyUploads.objects.get(user=user)
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    until_midnight = int((midnight - now).total_seconds()) + 1
    if meter.day == now.date() and meter.pictures + pictures > settings.UPLOAD_QUOTA:
        message = _(
            "You have sent %(count)s pictures today, which is the limit. Continue "
            "tomorrow, or ask a maintainer."
        )
        return QuotaReached(
            message % {"count": settings.UPLOAD_QUOTA}, retry_after_seconds=until_midnight
        )
    if meter.day == now.date() and meter.megapixels >= _megapixels_in_day():
        message = _(
            "You have used up today's processing quota. Continue tomorrow, or ask a maintainer."
        )
        return QuotaReached(message, retry_after_seconds=until_midnight)
    wait = int(_window_seconds() - now.timestamp() % _window_seconds()) + 1
    if (
        meter.window == now.timestamp() // _window_seconds()
        and meter.in_window + pictures > _most_in_window()
    ):
        message = _(
            "More than %(count)s pictures in a short time. Try again in %(seconds)s seconds."
        )
        return QuotaReached(
            message % {"count": _most_in_window(), "seconds": wait}, retry_after_seconds=wait
        )
    # Each window takes off as many megapixels as one may have.
    passed = int(now.timestamp() // _window_seconds()) - meter.window
    further = max(0, int(meter.megapixels_in_window // _megapixels_in_window()) - passed - 1)
    wait += further * _window_seconds()
    message = _(
        "Your pictures needed too much processing in a short time. Try again in "
        "%(seconds)s seconds, or send smaller ones."
    )
    return QuotaReached(message % {"seconds": wait}, retry_after_seconds=wait)


def _megapixels_in_window() -> float:
    return float(_most_in_window() * settings.UPLOAD_MEGAPIXELS)


def _megapixels_in_day() -> float:
    return float(settings.UPLOAD_QUOTA * settings.UPLOAD_MEGAPIXELS)


def _most_in_window() -> int:
    return int(settings.UPLOAD_RATE.partition("/")[0])


def _window_seconds() -> int:
    return _SECONDS[settings.UPLOAD_RATE.partition("/")[2][:1]]
