"""Space that comes to its end: the disk with the data, for maintainers, and a user's own quota."""

import shutil
import socket
from datetime import UTC

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils import timezone

from accounts import roles
from common.tasks import periodic
from notifications.models import Kind, Notification
from notifications.notifying import notify, people_who_may
from predictions.models import DailyUploads

DISK_FULL_FROM = 0.9
QUOTA_NEAR_FROM = 0.8
MOST_PEOPLE = 1000


@periodic(seconds=600)
def tell_of_a_full_disk() -> bool:
    """Tell maintainers, once a week, that the disk of this machine is nearly full."""
    usage = shutil.disk_usage(settings.DATA_DIR)
    share = usage.used / usage.total
    if share < DISK_FULL_FROM:
        return False
    week = timezone.localdate().isocalendar()
    host = socket.gethostname()[:60]
    notify(
        people_who_may(roles.TRAIN),
        Kind.SPACE,
        "disk",
        key=f"disk:{host}:{week.year}-{week.week}",
        url=reverse("home"),
        params={"used_share": share, "host": host},
    )
    return True


@periodic(seconds=300)
def tell_of_quotas() -> int:
    """Tell users, once, that they have sent most of what they may send in a day."""
    today = timezone.now().astimezone(UTC).date()
    limit = settings.UPLOAD_QUOTA
    key = f"quota:{today.isoformat()}"
    near = DailyUploads.objects.filter(day=today, pictures__gte=QUOTA_NEAR_FROM * limit)
    told = Notification.objects.filter(user=OuterRef("user"), key=key)
    near = near.filter(~Exists(told))
    rows = list(near.select_related("user")[:MOST_PEOPLE])
    for row in rows:
        notify(
            [row.user],
            Kind.SPACE,
            "quota",
            key=key,
            url=reverse("predictions:history"),
            params={"count": row.pictures, "limit": limit},
        )
    return len(rows)
