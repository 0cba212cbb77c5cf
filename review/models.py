"""Reviewers' decisions about samples, and who is looking at which sample right now."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from predictions.models import Category, Prediction, Sample


class DecisionQuerySet(models.QuerySet["Decision"]):
    def in_force(self) -> "DecisionQuerySet":
        """Keep the decisions that no newer one about the same sample has replaced.

        At most one per sample is left. It may be REOPENED, which says that nothing is decided.
        """
        # By key and not by time, as the clocks of several machines differ
        newer = Decision.objects.filter(sample=OuterRef("sample"), pk__gt=OuterRef("pk"))
        return self.filter(~Exists(newer))

    def newest_first(self, sample: Sample | OuterRef) -> "DecisionQuerySet":
        """Return the decisions about one sample; the first is the one in force.

        For queries of samples that read the newest decision by a subquery: one step along the
        index.
        """
        return self.filter(sample=sample).order_by("-pk")


class Decision(models.Model):
    """What a reviewer decided about a sample; only appended. The newest one is in force."""

    class Outcome(models.TextChoices):
        LABELLED = "labelled", _("Labelled")  # it is `category`
        CONFIRMED = "confirmed", _("Confirmed")  # the model was right: it is `category`
        DISCARDED = "discarded", _("Discarded")  # of no use for training
        REOPENED = "reopened", _("Reopened")  # the one before was undone; back into the queue

    sample = models.ForeignKey(Sample, models.CASCADE, related_name="decisions")
    prediction = models.ForeignKey(
        Prediction,
        models.SET_NULL,
        null=True,
        related_name="decisions",
        help_text="What the reviewer was shown.",
    )
    outcome = models.CharField(max_length=10, choices=Outcome)
    category = models.ForeignKey(Category, models.PROTECT, null=True, related_name="decisions")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="decisions"
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    batch = models.UUIDField(
        null=True, editable=False, help_text="What was decided at once, to be undone at once."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = DecisionQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(outcome__in=["labelled", "confirmed"], category__isnull=False)
                | Q(outcome__in=["discarded", "reopened"], category__isnull=True),
                name="category_exactly_when_labelled",
            )
        ]
        # For the decision in force about a sample, a reviewer's last ones, and figures by day
        indexes: ClassVar = [
            models.Index(fields=["sample", "-id"], name="newest_decision"),
            models.Index(fields=["reviewer", "-id"], name="own_decisions"),
            models.Index(fields=["created_at"], name="decisions_by_day"),
            models.Index(
                fields=["batch"], condition=Q(batch__isnull=False), name="decisions_of_a_batch"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sample} {self.outcome}"


class AdditionalCategory(models.Model):
    """A further category of a decision, in a project whose categories do not exclude each other."""

    decision = models.ForeignKey(Decision, models.CASCADE, related_name="additional_categories")
    category = models.ForeignKey(Category, models.PROTECT, related_name="+")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["decision", "category"], name="further_category_once_per_decision"
            )
        ]
        db_table = "review_furthercategory"  # the name it was made with

    def __str__(self) -> str:
        return f"{self.decision}, also {self.category}"


class SecondOpinion(models.Model):
    """What a second reviewer, who did not see the first one's decision, says of the same sample.

    It changes nothing by itself: where it differs, a third person decides.
    """

    decision = models.OneToOneField(Decision, models.CASCADE, related_name="second_opinion")
    outcome = models.CharField(max_length=10, choices=Decision.Outcome)
    category = models.ForeignKey(Category, models.PROTECT, null=True, related_name="+")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="second_opinions"
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(outcome__in=["labelled", "confirmed"], category__isnull=False)
                | Q(outcome="discarded", category__isnull=True),
                name="opinion_names_a_category_or_discards",
            )
        ]

    def __str__(self) -> str:
        return f"second opinion on {self.decision}"


class Recheck(models.Model):
    """A sample whose decision somebody has to look at again; it waits while that is in force."""

    class Reason(models.TextChoices):
        CONTRADICTION = "contradiction"  # its near duplicate has another label
        DISAGREEMENT = "disagreement"  # a second reviewer says something else
        REQUESTED = "requested"  # a person asked for it

    sample = models.ForeignKey(Sample, models.CASCADE, related_name="rechecks")
    decision = models.ForeignKey(Decision, models.CASCADE, related_name="rechecks")
    reason = models.CharField(max_length=15, choices=Reason)
    about = models.CharField(max_length=50, help_text="What it is about: asked once for each.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["sample", "about"], name="rechecked_once_for_each_cause"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["reason", "id"], name="oldest_rechecks")]

    def __str__(self) -> str:
        return f"{self.sample} again: {self.reason}"


class Lease(models.Model):
    """One reviewer has this sample on the screen until then; nobody else gets it."""

    sample = models.OneToOneField(Sample, models.CASCADE, related_name="lease")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="leases")
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.sample} with {self.reviewer}"


class Skip(models.Model):
    """This reviewer would rather leave this sample to others."""

    sample = models.ForeignKey(Sample, models.CASCADE, related_name="skips")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="skips")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["sample", "reviewer"], name="one_skip_per_sample_and_reviewer"
            )
        ]

    def __str__(self) -> str:
        return f"{self.sample} skipped by {self.reviewer}"


class LowWaterMark(models.Model):
    """A hint that keeps old verdicts from being read again: up to this one nothing waits.

    See `review.low_water_mark`.
    """

    verdict = models.CharField(max_length=6, unique=True)
    feedback_id = models.BigIntegerField(default=0)
    looked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "review_horizon"  # the name it was made with

    def __str__(self) -> str:
        return f"{self.verdict} up to {self.feedback_id}"
