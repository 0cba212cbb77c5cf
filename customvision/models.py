"""What Custom Vision knows and Classifr does not: domains, iterations and their published names, training images."""

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from customvision import domains
from predictions.models import Category, ModelVersion, Prediction, Project, Sample
from training.models import TrainingRun


class Workspace(models.Model):
    """What Custom Vision keeps with a project beside its name."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="workspace")
    domain = models.UUIDField(default=domains.GENERAL)
    modified_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"workspace of {self.project}"


class RetiredTag(models.Model):
    """A tag that was deleted here, while past rulings or data sets still point at its category."""

    category = models.OneToOneField(Category, models.CASCADE, related_name="retired")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.category} retired"


class TrainingImage(models.Model):
    """This sample was added as an image to learn from, tagged or not; its picture is kept."""

    sample = models.OneToOneField(Sample, models.CASCADE, related_name="training_image")
    added_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.sample} as an image"


class Iteration(models.Model):
    """A training run, or a model version that no run made, under the id and names that clients know it by.

    Deleting hides it: what it answered, and how well it did, stays.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="iterations")
    run = models.OneToOneField(TrainingRun, models.CASCADE, null=True, related_name="iteration")
    own_version = models.OneToOneField(ModelVersion, models.CASCADE, null=True, related_name="iteration")
    name = models.CharField(max_length=100)
    publish_name = models.CharField(max_length=100, blank=True)
    publish_target = models.CharField(max_length=300, blank=True, help_text="The prediction resource that was named.")
    modified_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["project", "publish_name"], condition=~Q(publish_name=""), name="published_name_is_unique"
            ),
            models.CheckConstraint(
                condition=Q(run__isnull=False, own_version__isnull=True)
                | Q(run__isnull=True, own_version__isnull=False),
                name="iteration_is_of_a_run_or_of_a_version",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def version(self) -> ModelVersion | None:
        """Return the model version that answers for this iteration, or None while or if there is none."""
        return self.run.model_version if self.run else self.own_version


class Export(models.Model):
    """An archive of an iteration's model: asked for, then made in the background, or not and why."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    iteration = models.ForeignKey(Iteration, models.CASCADE, related_name="exports")
    platform = models.CharField(max_length=20)
    flavor = models.CharField(max_length=20, blank=True)
    file_name = models.CharField(max_length=300, blank=True, help_text="In the storage of models, once it is made.")
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["iteration", "platform", "flavor"], name="one_export_of_a_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.iteration} as {self.flavor or self.platform}"

    @property
    def job_key(self) -> str:
        return f"customvision.export:{self.pk}"


class StoredPrediction(models.Model):
    """A prediction that a client had stored, so that it can be queried and deleted."""

    prediction = models.OneToOneField(Prediction, models.CASCADE, related_name="stored")
    application = models.CharField(max_length=100, blank=True)

    def __str__(self) -> str:
        return f"{self.prediction} stored"
