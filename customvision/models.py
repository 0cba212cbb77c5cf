"""What Custom Vision has and Classifr lacks, such as published names; and what was imported."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from common.models import Job
from customvision import domains
from predictions.models import Category, ModelVersion, Prediction, Project, Sample
from review.models import Decision
from training.models import TrainingRun


class Workspace(models.Model):
    """What Custom Vision stores of a project that Classifr's own projects lack."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="workspace")
    domain = models.UUIDField(default=domains.GENERAL)
    modified_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"workspace of {self.project}"


class RetiredTag(models.Model):
    """A tag that was deleted through the API; past decisions still refer to its category."""

    category = models.OneToOneField(Category, models.CASCADE, related_name="retired")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.category} retired"


class TrainingImage(models.Model):
    """A sample that was added as a training image, tagged or not; its picture is kept."""

    sample = models.OneToOneField(Sample, models.CASCADE, related_name="training_image")
    added_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.sample} as an image"


class Iteration(models.Model):
    """A training run, or a model version without one, by the id and names that clients know.

    Deleting it only hides it: its predictions and its evaluation stay.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="iterations")
    run = models.OneToOneField(TrainingRun, models.CASCADE, null=True, related_name="iteration")
    own_version = models.OneToOneField(
        ModelVersion, models.CASCADE, null=True, related_name="iteration"
    )
    name = models.CharField(max_length=100)
    publish_name = models.CharField(max_length=100, blank=True)
    publish_target = models.CharField(
        max_length=300, blank=True, help_text="The prediction resource that was named."
    )
    modified_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["project", "publish_name"],
                condition=~Q(publish_name=""),
                name="published_name_is_unique",
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
        """Return the model version of this iteration, or None if it is not trained."""
        return self.run.model_version if self.run else self.own_version


class Export(models.Model):
    """An archive of an iteration's model, built by the worker, or the reason why it was not."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    iteration = models.ForeignKey(Iteration, models.CASCADE, related_name="exports")
    platform = models.CharField(max_length=20)
    flavor = models.CharField(max_length=20, blank=True)
    file_name = models.CharField(
        max_length=300, blank=True, help_text="In the storage of models, once it is made."
    )
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["iteration", "platform", "flavor"], name="one_export_of_a_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.iteration} as {self.flavor or self.platform}"

    @property
    def job_key(self) -> str:
        return f"customvision.export:{self.pk}"


class StoredPrediction(models.Model):
    """A prediction that a client had stored, to query and delete it later."""

    prediction = models.OneToOneField(Prediction, models.CASCADE, related_name="stored")
    application = models.CharField(max_length=100, blank=True)

    def __str__(self) -> str:
        return f"{self.prediction} stored"


# What was imported from the service. These models came from the app `training`, and their tables
# still have its name.


class ServiceAccess(models.Model):
    """Endpoint and encrypted key of a resource, only for as long as imports need them."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    endpoint = models.CharField(max_length=300)
    sealed_key = models.TextField(editable=False)
    given_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "training_serviceaccess"

    def __str__(self) -> str:
        return f"access to {self.endpoint}"


class ImportedProject(models.Model):
    """A project that was or is being imported; importing it again uses the same row."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="imported_from")
    remote_id = models.UUIDField(unique=True)
    endpoint = models.CharField(max_length=300)
    name = models.CharField(max_length=200)
    classification_type = models.CharField(max_length=20, blank=True)
    access = models.ForeignKey(ServiceAccess, models.SET_NULL, null=True, related_name="imports")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+")
    report = models.JSONField(
        default=dict, help_text="What was there and what is here, after the last import."
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "training_importedproject"
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} from {self.endpoint}"

    @property
    def is_active(self) -> bool:
        return bool(self.job and self.job.status in (Job.Status.WAITING, Job.Status.RUNNING))


class ImportedTag(models.Model):
    """The category that a tag became. Renaming either loses nothing."""

    imported = models.ForeignKey(ImportedProject, models.CASCADE, related_name="tags")
    remote_id = models.UUIDField()
    category = models.ForeignKey(Category, models.CASCADE, related_name="imported_tags")
    name = models.CharField(max_length=200)
    type = models.CharField(max_length=20, help_text="Regular, Negative or GeneralProduct.")

    class Meta:
        db_table = "training_importedtag"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["imported", "remote_id"], name="tag_is_imported_once")
        ]

    def __str__(self) -> str:
        return self.name


class ImportedImage(models.Model):
    """The sample that an image became, its digest, and the decision from its tag."""

    imported = models.ForeignKey(ImportedProject, models.CASCADE, related_name="images")
    remote_id = models.UUIDField()
    sample = models.ForeignKey(Sample, models.SET_NULL, null=True, related_name="imported_images")
    sha256 = models.CharField(max_length=64, blank=True)
    tag_ids = models.JSONField(
        default=list, help_text="The tags it had when they were taken up last."
    )
    decision = models.ForeignKey(Decision, models.SET_NULL, null=True, related_name="+")
    problem = models.CharField(max_length=300, blank=True, help_text="Why its picture is not here.")
    seen_at = models.DateTimeField(
        default=timezone.now, help_text="When the service listed it last."
    )

    class Meta:
        db_table = "training_importedimage"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["imported", "remote_id"], name="image_is_imported_once")
        ]

    def __str__(self) -> str:
        return str(self.remote_id)


class ImportedIteration(models.Model):
    """An iteration as history: its name, and the metrics that Custom Vision reported."""

    imported = models.ForeignKey(ImportedProject, models.CASCADE, related_name="iterations")
    remote_id = models.UUIDField()
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=30)
    published_as = models.CharField(max_length=200, blank=True)
    trained_at = models.DateTimeField(null=True)
    performance = models.JSONField(
        default=dict,
        help_text="Threshold, precision, recall and average precision, overall and per tag id.",
    )

    class Meta:
        db_table = "training_importediteration"
        ordering: ClassVar = ["-trained_at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["imported", "remote_id"], name="iteration_is_imported_once"
            )
        ]

    def __str__(self) -> str:
        return self.name


class ImportedPrediction(models.Model):
    """A prediction that the service had stored. It is history and no ground truth."""

    imported = models.ForeignKey(ImportedProject, models.CASCADE, related_name="predictions")
    remote_id = models.UUIDField()
    iteration = models.ForeignKey(
        ImportedIteration, models.SET_NULL, null=True, related_name="predictions"
    )
    sample = models.ForeignKey(
        Sample, models.SET_NULL, null=True, related_name="imported_predictions"
    )
    sha256 = models.CharField(max_length=64, blank=True)
    scores = models.JSONField(help_text="Tag name to probability, in falling order.")
    predicted_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=300, blank=True, help_text="Why its picture is not here.")

    class Meta:
        db_table = "training_importedprediction"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["imported", "remote_id"], name="prediction_is_imported_once"
            )
        ]

    def __str__(self) -> str:
        return str(self.remote_id)
