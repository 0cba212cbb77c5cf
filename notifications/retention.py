"""Old notifications go, read or not."""

from datetime import timedelta

from django.utils import timezone

from common.tasks import periodic
from notifications.models import Notification

KEEP_DAYS = 90
MOST_AT_ONCE = 2000


@periodic(seconds=3600)
def delete_old_notifications() -> int:
    """Delete what is older than `KEEP_DAYS`, some at a time; return how many went."""
    before = timezone.now() - timedelta(days=KEEP_DAYS)
    old = Notification.objects.filter(created_at__lt=before).order_by("created_at")
    keys = list(old.values_list("pk", flat=True)[:MOST_AT_ONCE])
    return Notification.objects.filter(pk__in=keys).delete()[0]
