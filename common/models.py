"""The one table that belongs to no app above: background work."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

TROUBLE_FROM_ATTEMPT = 5  # about a minute after the first, as `jobs` spaces them


class JobQuerySet(models.QuerySet["Job"]):
    def active(self) -> "JobQuerySet":
        return self.filter(status__in=[Job.Status.WAITING, Job.Status.RUNNING])

    def in_trouble(self) -> "JobQuerySet":
        """Return what failed, and what fails over and over, the newest first."""
        keeps_failing = Q(status=Job.Status.WAITING, attempts__gte=TROUBLE_FROM_ATTEMPT) & ~Q(
            error=""
        )
        return self.filter(Q(status=Job.Status.FAILED) | keeps_failing).order_by("-pk")

    def due(self) -> "JobQuerySet":
        return self.filter(status=Job.Status.WAITING, due_at__lte=timezone.now()).order_by(
            "due_at", "pk"
        )


class Job(models.Model):
    """A durable piece of background work: written with what asks for it, done by a worker.

    Only jobs carry a moving status; it is moved by UPDATEs that also filter on the old one, so each
    has one taker.
    """

    class Status(models.TextChoices):
        WAITING = "waiting"  # due at `due_at`: new, or to be tried again
        RUNNING = "running"  # taken by `taken_by`, alive while `heartbeat_at` is fresh
        SUCCEEDED = "succeeded"
        FAILED = "failed"  # gave up after `max_attempts`, or a foreseen failure
        CANCELLED = "cancelled"

    kind = models.CharField(max_length=100)
    queue = models.CharField(max_length=30, default="default")
    key = models.CharField(
        max_length=200, blank=True, help_text="At most one active job per key, unless empty."
    )
    payload = models.JSONField(default=dict)
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=10)
    due_at = models.DateTimeField(default=timezone.now)
    taken_by = models.CharField(max_length=100, blank=True)
    heartbeat_at = models.DateTimeField(null=True)
    cancel_requested = models.BooleanField(default=False)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    progress_note = models.CharField(max_length=300, blank=True)
    error = models.TextField(blank=True)
    request_id = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",  # for processes of the release before, which do not know it
        help_text="Of the request that asked for it, as in the log.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            # Every worker asks twice a second what is due in its queue.
            models.Index(fields=["status", "queue", "due_at"], name="job_by_due_time")
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(status__in=["waiting", "running"]) & ~Q(key=""),
                name="one_active_job_per_key",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} ({self.status})"

    @property
    def is_ended(self) -> bool:
        return self.status not in (self.Status.WAITING, self.Status.RUNNING)

    @property
    def percent(self) -> int:
        return round(100 * self.progress_done / self.progress_total) if self.progress_total else 0
