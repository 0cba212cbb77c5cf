"""What the model says: projects, categories, samples, model versions, predictions and verdicts.

Facts are appended, the present is a question: the live model is the newest promotion.
"""

import uuid
from typing import ClassVar

from django.conf import settings
from django.core.files.storage import Storage, storages
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from common.names import NameKeyField, UniqueNames


class ProjectManager(models.Manager["Project"]):
    """Knows nothing of projects that are being removed."""

    def get_queryset(self) -> models.QuerySet["Project"]:
        return super().get_queryset().filter(removed_at=None)


class Project(UniqueNames):
    """One classification problem, with its options.

    One that is removed is out of sight at once; what it holds goes in the background. `everywhere`
    knows it until then.
    """

    class Modality(models.TextChoices):
        IMAGE = "image", _("Pictures")
        TEXT = "text", _("Texts")

    class Retention(models.TextChoices):
        DEFAULT = "", _("Server default")
        NOK = "nok", _("Delete after OK")
        ALL = "all", _("Keep everything")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=100)
    name_key = NameKeyField(of="name")
    slug = models.SlugField(max_length=60, unique=True)
    description = models.TextField(_("description"), blank=True)
    modality = models.CharField(max_length=10, choices=Modality, default=Modality.IMAGE)
    multilabel = models.BooleanField(
        default=False,
        help_text="The categories do not exclude each other: a picture may show several of them.",
    )
    trainer = models.CharField(
        _("trainer"), max_length=50, blank=True, help_text=_("Empty: the server's default.")
    )
    retention = models.CharField(_("retention"), max_length=3, choices=Retention, blank=True)
    inspection = models.BooleanField(
        _("for inspection"),
        default=False,
        help_text=_(
            "For parts and surfaces: models see the whole picture instead of its centre, and look "
            "for small marks. Holds from the next run on; photos of things gain nothing."
        ),
    )
    test_time_augmentation = models.BooleanField(
        _("test-time augmentation"),
        default=False,
        help_text=_("Average three centre crops: steadier, slower."),
    )
    second_opinion_percent = models.PositiveSmallIntegerField(
        _("second opinion, in percent"),
        default=0,
        validators=[MaxValueValidator(100)],
        help_text=_(
            "Share of the decisions that a second reviewer repeats without seeing them; where the "
            "two differ, a third one decides."
        ),
    )
    abstain_below = models.FloatField(
        _("abstain below"),
        default=0.0,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=_("With a lower top probability the page says that the model is unsure."),
    )
    abstain_when_unfamiliar = models.BooleanField(
        _("abstain when unfamiliar"),
        default=True,
        help_text=_("Give no answer for samples that look unlike anything in the training data."),
    )
    is_private = models.BooleanField(
        default=False,
        editable=False,
        help_text="Only its members may see it; otherwise everybody, by their role on the site.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    archived_at = models.DateTimeField(null=True, editable=False)
    removed_at = models.DateTimeField(null=True, editable=False)
    given_keys = models.CharField(
        max_length=30,
        blank=True,
        editable=False,
        help_text="Every key that a category has or had, see `category_keys`.",
    )

    objects = ProjectManager()
    everywhere = models.Manager()  # noqa: DJ012 (a manager, too)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(abstain_below__gte=0, abstain_below__lte=1),
                name="abstain_threshold_is_a_probability",
            ),
            models.UniqueConstraint(
                fields=["name_key"],
                condition=Q(removed_at=None),
                name="project_is_told_by_its_name",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("predictions:upload", args=[self.slug])

    @property
    def is_of_texts(self) -> bool:
        """Whether pages speak of texts rather than of pictures."""
        return self.modality == self.Modality.TEXT

    @property
    def keeps_everything(self) -> bool:
        return (self.retention or settings.RETENTION) == self.Retention.ALL

    @property
    def is_archived(self) -> bool:
        """Whether it was put aside: all of it stays, and nothing new is taken."""
        return self.archived_at is not None


class ProjectMembership(models.Model):
    """What somebody may do in one project beside what their role on the site allows."""

    class Role(models.TextChoices):
        VIEWER = "viewer", _("Viewer")
        USER = "user", _("User")
        REVIEWER = "reviewer", _("Reviewer")
        MAINTAINER = "maintainer", _("Maintainer")

    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="project_memberships"
    )
    role = models.CharField(_("role"), max_length=10, choices=Role)
    by_directory = models.BooleanField(
        default=False,
        editable=False,
        help_text="Given by a group of the directory (OIDC_GROUPS), and taken away with it.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["project", "user"], name="member_of_a_project_once"),
            models.CheckConstraint(
                condition=Q(role__in=["viewer", "user", "reviewer", "maintainer"]),
                name="membership_role_is_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.role}"


class CategoryManager(models.Manager["Category"]):
    """Knows nothing of categories that were deleted or merged into others."""

    def get_queryset(self) -> models.QuerySet["Category"]:
        return super().get_queryset().filter(removed_at=None)


class Category(UniqueNames):
    """One class of a project. Renaming it loses nothing: everything points at the row.

    One that was deleted keeps its row as long as past decisions or data sets name it, but nobody
    can choose it any more; `everywhere` knows it. What a model answers by the name of one that was
    merged counts for the one that it was merged into.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="categories")
    name = models.CharField(_("name"), max_length=100)
    name_key = NameKeyField(of="name")
    description = models.TextField(_("description"), blank=True)
    position = models.PositiveIntegerField(
        default=0, editable=False, help_text="Where it is in lists; all 0: by their names."
    )
    key = models.CharField(
        max_length=1,
        blank=True,
        editable=False,
        help_text="The key that decides for it, see `category_keys`.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    removed_at = models.DateTimeField(null=True, editable=False)
    merged_into = models.ForeignKey(
        "self", models.SET_NULL, null=True, editable=False, related_name="merged"
    )

    objects = CategoryManager()
    everywhere = models.Manager()  # noqa: DJ012 (a manager, too)

    name_scope = ("project",)

    class Meta:
        ordering: ClassVar = ["position", "name"]
        verbose_name_plural = "categories"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["project", "name"], name="category_name_is_unique_in_its_project"
            ),
            models.UniqueConstraint(
                fields=["project", "name_key"], name="category_is_told_by_its_name"
            ),
            models.UniqueConstraint(
                fields=["project", "key"],
                condition=~Q(key=""),
                name="category_key_is_unique_in_its_project",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SampleQuerySet(models.QuerySet["Sample"]):
    def with_picture(self) -> "SampleQuerySet":
        return self.exclude(location=Sample.Location.NOWHERE)


class Sample(models.Model):
    """One picture or text: where its bytes are, and the conditions it was taken under.

    The stored bytes of a picture are upright and without metadata, those of a text normalised
    UTF-8; `media_type` tells which, and they hold nothing else. `sha256` is of these, so the same
    picture is the same sample, whatever its metadata. Of samples from before 0.2 it is of the bytes
    as they were received, by which splits, vectors and data sets know them; what they are is found
    afterwards (`content_digests`). `NOWHERE`: the content was deleted, or never kept.
    """

    UNKNOWN_CONTENT = "?"

    class Location(models.TextChoices):
        UPLOADS = "uploads"
        MISCLASSIFIED = "misclassified"
        NOWHERE = "nowhere"

    class Origin(models.TextChoices):
        UPLOAD = "upload", _("Upload")
        IMPORT = "import", _("Import")
        DEMO = "demo", _("Demo")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="samples")
    sha256 = models.CharField(max_length=64)
    content_sha256 = models.CharField(
        max_length=64,
        blank=True,
        default="",
        editable=False,
        help_text="Of the stored bytes, where `sha256` is not.",
    )
    location = models.CharField(max_length=15, choices=Location, default=Location.UPLOADS)
    file_name = models.CharField(
        max_length=200, blank=True, help_text="Our own name, in the storage of `location`."
    )
    media_type = models.CharField(max_length=50, blank=True)
    width = models.PositiveIntegerField(default=0)
    height = models.PositiveIntegerField(default=0)
    size_bytes = models.PositiveBigIntegerField(default=0)
    capture = models.JSONField(
        default=dict, help_text="Camera, time and size, read before the metadata was removed."
    )
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.UPLOAD)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="samples"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = SampleQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["project", "sha256"], name="sample_is_unique_in_its_project"
            ),
            models.CheckConstraint(
                condition=Q(location="nowhere", file_name="")
                | (~Q(location="nowhere") & ~Q(file_name="")),
                name="stored_name_exactly_when_stored",
            ),
        ]
        indexes: ClassVar = [
            # For retention, which asks for pictures alone, the oldest first.
            models.Index(fields=["location", "created_at"], name="oldest_pictures"),
            # For lists of a project's samples, a page at a time
            models.Index(fields=["project", "-id"], name="newest_samples"),
            models.Index(
                fields=["project", "content_sha256"],
                condition=~Q(content_sha256=""),
                name="samples_from_before",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sha256[:12]}"

    @property
    def has_picture(self) -> bool:
        return self.location != self.Location.NOWHERE

    @property
    def is_drawn(self) -> bool:
        """Whether pages show a drawing in its place: what the demo learned from is not shipped."""
        return self.origin == self.Origin.DEMO and not self.has_picture

    @property
    def is_displayable(self) -> bool:
        return self.has_picture or self.is_drawn

    @property
    def is_picture(self) -> bool:
        """Whether a browser can be given it as a picture."""
        return self.has_picture and self.media_type.startswith("image/")

    @property
    def storage(self) -> Storage:
        """Return the storage that holds the picture. Raises InvalidStorageError without one."""
        return storages[self.location]

    def read(self) -> bytes:
        """Return the stored bytes. Raises FileNotFoundError, or what the storage raises."""
        with self.storage.open(self.file_name) as file:
            return file.read()


class CaptureCondition(models.Model):
    """One condition under which a sample was taken, such as the camera or the line.

    The first that was said of a sample stays, see `predictions.conditions`.
    """

    sample = models.ForeignKey(Sample, models.CASCADE, related_name="conditions")
    name = models.CharField(max_length=32)
    value = models.CharField(max_length=100)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["sample", "name"], name="one_condition_of_each_name")
        ]
        # For filters: the samples of a line
        indexes: ClassVar = [
            models.Index(fields=["name", "value", "sample"], name="samples_by_condition")
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


class SampleGroup(models.Model):
    """What a sample is of, in the sender's words: a part, a board, a lot, a patient.

    Samples of one group are alike for a reason that no model shall profit from, so they play the
    same part in every data set. The same picture may be sent under several groups.
    """

    sample = models.ForeignKey(Sample, models.CASCADE, related_name="groups")
    name = models.CharField(_("group"), max_length=100)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["sample", "name"], name="sample_once_in_a_group"),
            models.CheckConstraint(condition=~Q(name=""), name="group_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name


class ModelVersion(models.Model):
    """Something that can answer: the alias of its predictor, and what that needs to find it."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="model_versions")
    number = models.PositiveIntegerField()
    predictor = models.CharField(max_length=50, help_text="An alias of PREDICTORS.")
    reference = models.CharField(
        max_length=300, help_text="Where the predictor finds it: a bundle's folder, an iteration."
    )
    class_names = models.JSONField(help_text="Category names, in the order of the model's outputs.")
    digest = models.CharField(max_length=64, blank=True)
    manifest = models.JSONField(
        default=dict, help_text="Backbone, preprocessing, temperature, libraries, parity."
    )
    description = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["project", "number"], name="model_number_is_unique_in_its_project"
            )
        ]

    def __str__(self) -> str:
        return f"{self.project.slug} v{self.number}"


class Promotion(models.Model):
    """From now on, this one answers: a project's newest row is live, and going back is a row."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="promotions")
    model_version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="promotions")
    promoted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        # Which version is live is asked for every picture.
        indexes: ClassVar = [models.Index(fields=["project", "-id"], name="newest_promotion")]

    def __str__(self) -> str:
        return f"{self.model_version} live since {self.created_at:%Y-%m-%d %H:%M}"


class Shadow(models.Model):
    """From now on, this one is asked beside the live model, for maintainers' eyes alone.

    The newest row of a project counts; one without a model version stops it.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="shadows")
    model_version = models.ForeignKey(
        ModelVersion, models.SET_NULL, null=True, related_name="shadows"
    )
    chosen_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    searched_to = models.BigIntegerField(
        default=0,
        help_text="Up to this prediction none waits for the shadow: a hint where the search "
        "begins.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["project", "-id"], name="newest_shadow")]

    def __str__(self) -> str:
        return f"{self.model_version or 'nobody'} in shadow since {self.created_at:%Y-%m-%d %H:%M}"


class Batch(models.Model):
    """Several pictures sent at once, answered in the background."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="batches")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="batches")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return f"batch {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("predictions:batch", args=[self.uuid])


class PredictionQuerySet(models.QuerySet["Prediction"]):
    def visible_to(self, user: object) -> "PredictionQuerySet":
        """Return a user's own predictions, whatever the role."""
        # What reviewers see of others' samples is on the review page.
        return self.filter(user=user)


class Prediction(models.Model):
    """What a model version said of a sample to a user."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="predictions")
    sample = models.ForeignKey(Sample, models.CASCADE, related_name="predictions")
    model_version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="predictions")
    stood_in_for = models.ForeignKey(
        ModelVersion,
        models.SET_NULL,
        null=True,
        related_name="+",
        help_text="The live version, where it did not answer and this local one did in its place.",
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="predictions")
    scores = models.JSONField(
        help_text="Category name to probability, all of them, in falling order."
    )
    top = models.ForeignKey(Category, models.SET_NULL, null=True, related_name="+")
    confidence = models.FloatField()
    abstained = models.BooleanField(default=False)
    familiarity = models.FloatField(
        null=True, help_text="Share of known pictures that look no more familiar."
    )
    is_unfamiliar = models.BooleanField(
        default=False, help_text="It abstained for looking like nothing learned."
    )
    latency_ms = models.FloatField()
    shown_name = models.CharField(
        max_length=200, blank=True, help_text="The user's file name; only ever shown."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = PredictionQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(confidence__gte=0, confidence__lte=1),
                name="confidence_is_a_probability",
            ),
            models.CheckConstraint(
                condition=Q(familiarity=None) | Q(familiarity__gte=0, familiarity__lte=1),
                name="familiarity_is_a_share",
            ),
            models.CheckConstraint(
                condition=Q(is_unfamiliar=False) | Q(abstained=True, familiarity__isnull=False),
                name="unfamiliar_only_when_it_abstained",
            ),
        ]
        # Each filter of one's own history walks along an index of its own.
        indexes: ClassVar = [
            models.Index(fields=["user", "-id"], name="own_history"),
            models.Index(fields=["user", "project", "-id"], name="own_history_in_project"),
            models.Index(fields=["user", "top", "-id"], name="own_history_of_category"),
            models.Index(fields=["user", "created_at"], name="own_history_by_day"),
            models.Index(fields=["project", "-id"], name="newest_answers"),
            models.Index(fields=["project", "created_at"], name="answers_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.model_version} on {self.sample}"

    def get_absolute_url(self) -> str:
        return reverse("predictions:detail", args=[self.uuid])

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """Category names and probabilities, most probable first."""
        return sorted(self.scores.items(), key=lambda item: -item[1])


class ShadowPrediction(models.Model):
    """What a model version in shadow said of a prediction's picture, or why it said nothing."""

    prediction = models.ForeignKey(Prediction, models.CASCADE, related_name="shadow_predictions")
    model_version = models.ForeignKey(
        ModelVersion, models.CASCADE, related_name="shadow_predictions"
    )
    scores = models.JSONField(
        default=dict, help_text="As a prediction's; empty where there is no answer."
    )
    top = models.ForeignKey(Category, models.SET_NULL, null=True, related_name="+")
    confidence = models.FloatField(null=True)
    agrees = models.BooleanField(null=True, help_text="Whether it said the same as the live model.")
    latency_ms = models.FloatField(null=True)
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["prediction", "model_version"],
                name="one_shadow_answer_per_prediction_and_model",
            ),
            models.CheckConstraint(
                condition=Q(error="", confidence__gte=0, confidence__lte=1, agrees__isnull=False)
                | (~Q(error="") & Q(confidence=None, agrees=None)),
                name="shadow_answers_or_says_why_not",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["model_version", "-id"], name="newest_shadow_answers"),
            models.Index(
                fields=["model_version", "agrees", "-id"], name="newest_shadow_differences"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model_version} in shadow on prediction {self.prediction_id}"

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """Category names and probabilities, most probable first."""
        return sorted(self.scores.items(), key=lambda item: -item[1])


class BatchItem(models.Model):
    """One picture of a batch: waiting, answered, or refused with a sentence."""

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="items")
    shown_name = models.CharField(max_length=200, blank=True)
    sample = models.ForeignKey(Sample, models.CASCADE, null=True, related_name="+")
    prediction = models.OneToOneField(
        Prediction, models.CASCADE, null=True, related_name="batch_item"
    )
    error = models.CharField(max_length=300, blank=True)
    key = models.CharField(
        max_length=40, blank=True, help_text="The sender's, so that a file sent again counts once."
    )

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["batch", "key"], condition=~models.Q(key=""), name="unique_batch_item_key"
            )
        ]

    def __str__(self) -> str:
        return self.shown_name


class Feedback(models.Model):
    """What a user answered to a prediction: that something is wrong, not yet what is true."""

    class Verdict(models.TextChoices):
        OK = "OK", _("OK")
        NOK = "NOK", _("NOK")
        UNSURE = "UNSURE", _("Not sure")

    prediction = models.ForeignKey(Prediction, models.CASCADE, related_name="feedback")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="feedback")
    verdict = models.CharField(max_length=6, choices=Verdict)
    category = models.ForeignKey(
        Category,
        models.SET_NULL,
        null=True,
        related_name="suggestions",
        help_text="What the user says it is.",
    )
    suggestion = models.CharField(
        max_length=100,
        blank=True,
        help_text="What the user says it is, when no category has that name yet.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "feedback"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["prediction", "user"], name="one_verdict_per_prediction_and_user"
            ),
            models.CheckConstraint(
                condition=~Q(verdict="OK") | Q(category=None, suggestion=""),
                name="no_other_category_with_an_ok",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["verdict", "-id"], name="feedback_by_verdict"),
            models.Index(fields=["user", "verdict", "-prediction"], name="own_history_by_verdict"),
            models.Index(fields=["created_at"], name="feedback_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} on {self.prediction_id}"


class DailyUploads(models.Model):
    """How many pictures a user sent on their last day, and in the last window of the rate.

    A meter for the quota and the rate, one row per user. `window` numbers the windows since 1970.
    Megapixels are those of the pictures times their scans, what decoding costs; those in the window
    hold what was too much before it.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    day = models.DateField()
    pictures = models.PositiveIntegerField(default=0)
    window = models.PositiveBigIntegerField(default=0)
    in_window = models.PositiveIntegerField(default=0)
    megapixels = models.FloatField(default=0)
    megapixels_in_window = models.FloatField(default=0)

    class Meta:
        verbose_name_plural = "daily uploads"

    def __str__(self) -> str:
        return f"{self.pictures} on {self.day}"


class DailyFigures(models.Model):
    """What happened in a project on one day, counted from the rows themselves (`daily_figures`).

    It can be thrown away: it is there so that no page counts a million predictions.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="daily_figures")
    day = models.DateField(help_text="In the time zone of the site.")
    predictions = models.PositiveIntegerField()
    abstained = models.PositiveIntegerField(help_text="Of the predictions, those unfamiliar too.")
    unfamiliar = models.PositiveIntegerField()
    ok = models.PositiveIntegerField(help_text="Verdicts that were given on this day.")
    nok = models.PositiveIntegerField()
    unsure = models.PositiveIntegerField()
    counted_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "daily figures"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["project", "day"], name="one_count_per_project_and_day")
        ]

    def __str__(self) -> str:
        return f"{self.project.slug} on {self.day}"
