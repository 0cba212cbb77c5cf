"""Notifications, and who wants which of them where."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from predictions.models import Project, ProjectMembership


class Kind(models.TextChoices):
    """What can happen, as people choose what they want to be told of."""

    RUN_DONE = "run_done", _("A run has ended")
    RUN_FAILED = "run_failed", _("A run has failed")
    GATE_REFUSED = "gate_refused", _("The gate refused a new model")
    DRIFT = "drift", _("Answers or pictures have drifted")
    SPACE = "space", _("The disk is nearly full, or your quota nearly used up")
    NOK_ANSWERED = "nok_answered", _("A reviewer answered your NOK")


class NotificationQuerySet(models.QuerySet["Notification"]):
    def visible_to(self, user: User) -> "NotificationQuerySet":
        """Return a user's own, as far as they want them on the page."""
        return self._present().filter(user=user, on_page=True)

    def waiting_for_mail(self) -> "NotificationQuerySet":
        """Return what is still to be mailed to somebody who can log in and has an address."""
        waiting = self._present().filter(by_mail=True, mailed_at=None, user__is_active=True)
        return waiting.exclude(user__email="")

    def _present(self) -> "NotificationQuerySet":
        """Leave out what is of a removed project, or of one that is not there for its reader."""
        membership = ProjectMembership.objects.filter(
            project=OuterRef("project"), user=OuterRef("user")
        )
        there = Q(project__is_private=False) | Q(user__is_superuser=True) | Exists(membership)
        return self.filter(Q(project=None) | Q(project__removed_at=None) & there)


class Notification(models.Model):
    """One fact that one user is told, written in the transaction of the fact.

    The sentence is put together when it is read, in the reader's language, see `sentences`.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notifications")
    project = models.ForeignKey(Project, models.CASCADE, null=True, related_name="notifications")
    kind = models.CharField(max_length=20, choices=Kind)
    text = models.CharField(max_length=40, help_text="Which sentence, see `sentences`.")
    params = models.JSONField(default=dict, help_text="What the sentence is filled with.")
    url = models.CharField(max_length=300, help_text="The page that shows more.")
    key = models.CharField(
        max_length=100, help_text="What it is about: nobody is told of the same thing twice."
    )
    on_page = models.BooleanField(default=True)
    by_mail = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    read_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            # The key first, for taking back what turned out not to hold
            models.UniqueConstraint(fields=["key", "user"], name="nobody_is_told_twice"),
            models.CheckConstraint(
                condition=Q(on_page=True) | Q(by_mail=True), name="notification_goes_somewhere"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "-id"], name="newest_notifications"),
            # Asked on every page
            models.Index(
                fields=["user"],
                condition=Q(read_at=None, on_page=True),
                name="unread_notifications",
            ),
            models.Index(
                fields=["created_at"],
                condition=Q(by_mail=True, mailed_at=None),
                name="notifications_to_mail",
            ),
            models.Index(fields=["created_at"], name="oldest_notifications"),
        ]

    def __str__(self) -> str:
        return f"{self.text} for {self.user}"


class NotificationPreference(models.Model):
    """Where a user wants notifications of one kind; without a row, the defaults hold."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="notification_preferences"
    )
    kind = models.CharField(max_length=20, choices=Kind)
    on_page = models.BooleanField()
    by_mail = models.BooleanField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "kind"], name="one_preference_per_kind")
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.user}"
