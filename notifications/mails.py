"""Mails: what is new for somebody, in one mail, in their language.

The row of a notification is what asks for its mail. A chore finds those that wait and gives each
person one job, so that ten facts of a minute are one mail; a mail server that is away is tried for
a day. Sent is written down after sending: only a worker that dies in between sends one twice.
"""

from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from common.jobs import AlreadyEnqueued
from common.tasks import periodic, task
from notifications.models import Notification, NotificationQuerySet
from notifications.sentences import sentence_of

NEWS_DAYS = 1  # older ones are no news any more, and stay unmailed
MOST_IN_A_MAIL = 50
MOST_PEOPLE = 200  # whose mails are asked for at once
ATTEMPTS = 300  # each after five minutes at most: about a day


@periodic(seconds=30)
def request_mails() -> int:
    """Ask for a mail to everybody for whom something waits; return how many were asked for."""
    people = _news().order_by().values_list("user", flat=True).distinct()[:MOST_PEOPLE]
    asked = 0
    for key in people:
        with suppress(AlreadyEnqueued):
            mail_person.using(key=f"notifications.mail:{key}").enqueue(user_key=key)
            asked += 1
    return asked


@task(
    "notifications.mail",
    max_attempts=ATTEMPTS,
    stored_as={"user_key": "user"},
    title=gettext_lazy("Mail somebody what is new"),
)
def mail_person(user_key: int) -> None:
    """Mail a person what they have not been mailed; raises what the mail server's client raises."""
    waiting = _news().filter(user=user_key).select_related("project", "user").order_by("pk")
    rows = list(waiting[:MOST_IN_A_MAIL])
    if not rows:
        return
    person = rows[0].user
    with translation.override(person.language or settings.LANGUAGE_CODE):
        _mail(person, rows)
    keys = [row.pk for row in rows]
    Notification.objects.filter(pk__in=keys).update(mailed_at=timezone.now())


def _news() -> NotificationQuerySet:
    since = timezone.now() - timedelta(days=NEWS_DAYS)
    return Notification.objects.waiting_for_mail().filter(created_at__gte=since)


def _mail(person: User, rows: list[Notification]) -> None:
    lines = [{"notification": row, "sentence": sentence_of(row)} for row in rows]
    subject = lines[0]["sentence"]
    if len(rows) > 1:
        subject = ngettext(
            "%(count)d new notification", "%(count)d new notifications", len(rows)
        ) % {"count": len(rows)}
    elif rows[0].project:
        subject = f"{rows[0].project.name}: {subject}"
    text = render_to_string("notifications/mail.txt", {"person": person, "lines": lines})
    # An error of a run may have several lines, a subject has one
    subject = " ".join(f"[Classifr] {subject}".split())[:200]
    EmailMessage(subject, text, None, [person.email]).send()
