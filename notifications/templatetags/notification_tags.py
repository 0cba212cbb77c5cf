"""The bell in the header, and what a notification says."""

from django import template

from accounts.models import User
from notifications.models import Notification
from notifications.sentences import sentence_of

register = template.Library()

MOST_COUNTED = 99  # more are "99+"

register.filter("sentence_of", sentence_of)


@register.simple_tag
def unread_notifications(user: User) -> str:
    """Return how many notifications a user has not read, or "" where there is none."""
    unread = Notification.objects.visible_to(user).filter(read_at=None)
    count = len(unread.values_list("pk", flat=True)[: MOST_COUNTED + 1])
    return f"{MOST_COUNTED}+" if count > MOST_COUNTED else str(count or "")
