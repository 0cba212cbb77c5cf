"""Making a better model: frozen data sets, attempts to learn from them, and how well the results did."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from common.models import Job
from predictions.models import Category, ModelVersion, Project, Sample
from review.models import Decision


class DatasetVersion(models.Model):
    """What was known to be true at one moment; never changed afterwards."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="datasets")
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    report = models.JSONField(default=dict, help_text="Counts per category and split, and what was left out and why.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["project", "number"], name="data_set_number_is_unique_in_its_project"),
            models.UniqueConstraint(fields=["project", "digest"], name="data_set_is_frozen_once"),
        ]

    def __str__(self) -> str:
        return f"{self.project.slug} data set {self.number}"


class DatasetItem(models.Model):
    """One sample of a data set version with its category, and the part it plays."""

    class Split(models.TextChoices):
        TRAIN = "train"
        VALIDATION = "validation"
        TEST = "test"

    dataset = models.ForeignKey(DatasetVersion, models.CASCADE, related_name="items")
    sample = models.ForeignKey(Sample, models.PROTECT, related_name="+")
    category = models.ForeignKey(Category, models.PROTECT, related_name="+")
    split = models.CharField(max_length=10, choices=Split)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["dataset", "sample"], name="sample_once_per_data_set")]

    def __str__(self) -> str:
        return f"{self.sample}: {self.category} ({self.split})"


class FurtherLabel(models.Model):
    """One more category of a sample in a data set, where the categories do not exclude each other."""

    item = models.ForeignKey(DatasetItem, models.CASCADE, related_name="further")
    category = models.ForeignKey(Category, models.PROTECT, related_name="+")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["item", "category"], name="further_category_once_per_item")
        ]

    def __str__(self) -> str:
        return f"{self.item}, also {self.category}"


class TrainingRunQuerySet(models.QuerySet["TrainingRun"]):
    def active(self) -> "TrainingRunQuerySet":
        return self.filter(status__in=[TrainingRun.Status.WAITING, TrainingRun.Status.RUNNING])


class TrainingRun(models.Model):
    """One attempt to learn: a data set version, a trainer, its parameters and a seed."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    project = models.ForeignKey(Project, models.CASCADE, related_name="runs")
    dataset = models.ForeignKey(DatasetVersion, models.PROTECT, related_name="runs")
    trainer = models.CharField(max_length=50, help_text="An alias of TRAINERS.")
    parameters = models.JSONField(default=dict)
    seed = models.PositiveBigIntegerField(default=0)
    promote = models.BooleanField(
        default=False, help_text="Promote the result when it is not worse than the live model."
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    model_version = models.OneToOneField(ModelVersion, models.PROTECT, null=True, related_name="run")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+")
    curves = models.JSONField(default=dict, help_text="Name to one value per epoch.")
    log = models.TextField(blank=True)
    error = models.TextField(blank=True)
    outcome = models.TextField(blank=True, help_text="What became of the model: promoted, or why not.")
    abstaining = models.JSONField(default=list, help_text="Abstain thresholds proposed for wanted precisions.")
    unfamiliar = models.JSONField(
        default=dict,
        help_text="Split to `count` and `unfamiliar`: pictures that it would refuse as unlike all learned.",
    )
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = TrainingRunQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["project"], condition=Q(status__in=["waiting", "running"]), name="one_active_run_per_project"
            ),
            models.CheckConstraint(
                condition=Q(status="succeeded", model_version__isnull=False)
                | (~Q(status="succeeded") & Q(model_version__isnull=True)),
                name="model_exactly_when_succeeded",
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.pk} of {self.project.slug}"

    @property
    def is_active(self) -> bool:
        return self.status in (self.Status.WAITING, self.Status.RUNNING)


class Evaluation(models.Model):
    """A model version measured on the test split of a data set version."""

    model_version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="evaluations")
    dataset = models.ForeignKey(DatasetVersion, models.CASCADE, related_name="evaluations")
    accuracy = models.FloatField()
    macro_f1 = models.FloatField()
    per_category = models.JSONField(
        help_text="Name to precision, recall, average precision, support; null where undefined."
    )
    confusion = models.JSONField(
        help_text="Names and a matrix of counts: row = true, column = predicted. Of categories that do not exclude "
        "each other instead: how often each was named, named rightly, and true; of how many pictures all were right."
    )
    calibration = models.JSONField(default=dict, help_text="Bins, and the expected error with and without temperature.")
    answers = models.JSONField(default=dict, help_text="Sample id to whether the answer was right, of those scored.")
    thresholds = models.JSONField(default=dict, help_text="Counts at every threshold, see `training.performance`.")
    skipped = models.PositiveIntegerField(default=0, help_text="Test samples that this model could not be asked about.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model_version", "dataset"], name="one_evaluation_per_model_and_data_set")
        ]

    def __str__(self) -> str:
        return f"{self.model_version} on {self.dataset}"

    @property
    def is_multilabel(self) -> bool:
        """Return whether `accuracy` is the share of pictures of which every category was told rightly."""
        return "matrix" not in self.confusion


class ServiceAccess(models.Model):
    """Endpoint and key of a Custom Vision resource: the key sealed, and only for as long as imports need it."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    endpoint = models.CharField(max_length=300)
    sealed_key = models.TextField(editable=False)
    given_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"access to {self.endpoint}"


class ImportedProject(models.Model):
    """A project of Custom Vision that was brought home, or is being brought; imported again, it is the same row."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="imported_from")
    remote_id = models.UUIDField(unique=True)
    endpoint = models.CharField(max_length=300)
    name = models.CharField(max_length=200)
    classification_type = models.CharField(max_length=20, blank=True)
    access = models.ForeignKey(ServiceAccess, models.SET_NULL, null=True, related_name="imports")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+")
    report = models.JSONField(default=dict, help_text="What was there and what is here, after the last import.")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} from {self.endpoint}"

    @property
    def is_active(self) -> bool:
        return bool(self.job and self.job.status in (Job.Status.WAITING, Job.Status.RUNNING))


class ImportedTag(models.Model):
    """Which category a tag is. Renaming either loses nothing."""

    imported = models.ForeignKey(ImportedProject, models.CASCADE, related_name="tags")
    remote_id = models.UUIDField()
    category = models.ForeignKey(Category, models.CASCADE, related_name="imported_tags")
    name = models.CharField(max_length=200)
    type = models.CharField(max_length=20, help_text="Regular, Negative or GeneralProduct.")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["imported", "remote_id"], name="tag_is_imported_once")]

    def __str__(self) -> str:
        return self.name


class ImportedImage(models.Model):
    """Which sample an image is, the digest of the bytes that came, and the ruling that its tag has become."""

    imported = models.ForeignKey(ImportedProject, models.CASCADE, related_name="images")
    remote_id = models.UUIDField()
    sample = models.ForeignKey(Sample, models.SET_NULL, null=True, related_name="imported_images")
    sha256 = models.CharField(max_length=64, blank=True)
    tag_ids = models.JSONField(default=list, help_text="The tags it had when they were taken up last.")
    decision = models.ForeignKey(Decision, models.SET_NULL, null=True, related_name="+")
    problem = models.CharField(max_length=300, blank=True, help_text="Why its picture is not here.")
    seen_at = models.DateTimeField(default=timezone.now, help_text="When the service listed it last.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["imported", "remote_id"], name="image_is_imported_once")
        ]

    def __str__(self) -> str:
        return str(self.remote_id)


class ImportedIteration(models.Model):
    """An iteration as history: what it was called, and how well Custom Vision said that it does."""

    imported = models.ForeignKey(ImportedProject, models.CASCADE, related_name="iterations")
    remote_id = models.UUIDField()
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=30)
    published_as = models.CharField(max_length=200, blank=True)
    trained_at = models.DateTimeField(null=True)
    performance = models.JSONField(
        default=dict, help_text="Threshold, precision, recall and average precision, overall and per tag id."
    )

    class Meta:
        ordering: ClassVar = ["-trained_at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["imported", "remote_id"], name="iteration_is_imported_once")
        ]

    def __str__(self) -> str:
        return self.name


class ImportedPrediction(models.Model):
    """What an iteration said of a picture that the service had stored. It is history, and no truth."""

    imported = models.ForeignKey(ImportedProject, models.CASCADE, related_name="predictions")
    remote_id = models.UUIDField()
    iteration = models.ForeignKey(ImportedIteration, models.SET_NULL, null=True, related_name="predictions")
    sample = models.ForeignKey(Sample, models.SET_NULL, null=True, related_name="imported_predictions")
    sha256 = models.CharField(max_length=64, blank=True)
    scores = models.JSONField(help_text="Tag name to probability, in falling order.")
    predicted_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=300, blank=True, help_text="Why its picture is not here.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["imported", "remote_id"], name="prediction_is_imported_once")
        ]

    def __str__(self) -> str:
        return str(self.remote_id)
