"""Making a better model: frozen data sets, training runs, and how well their models do."""

from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from common.models import Job
from predictions.models import (
    Category,
    ModelVersion,
    Prediction,
    Project,
    Promotion,
    Sample,
)
from review.models import Decision


class DatasetVersion(models.Model):
    """What was known to be true at one moment; never changed afterwards."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="datasets")
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    report = models.JSONField(
        default=dict, help_text="Counts per category and split, and what was left out and why."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["project", "number"], name="data_set_number_is_unique_in_its_project"
            ),
            models.UniqueConstraint(fields=["project", "digest"], name="data_set_is_frozen_once"),
        ]

    def __str__(self) -> str:
        return f"{self.project.slug} data set {self.number}"


class KnownCategory(models.Model):
    """A category that networks taught on ImageNet know: by which of its classes, together."""

    category = models.OneToOneField(
        Category, models.CASCADE, primary_key=True, related_name="known"
    )
    classes = models.JSONField(help_text="Numbers of ImageNet classes, see `imagenet_classes`.")

    def __str__(self) -> str:
        return f"{self.category} by {len(self.classes)} classes"


class DatasetItem(models.Model):
    """One sample of a data set version with its category, and the part it plays."""

    class Split(models.TextChoices):
        TRAIN = "train"
        VALIDATION = "validation"
        TEST = "test"

    dataset = models.ForeignKey(DatasetVersion, models.CASCADE, related_name="items")
    # Kept as long as the data set: a model can be measured on it again
    sample = models.ForeignKey(Sample, models.PROTECT, related_name="+")
    category = models.ForeignKey(Category, models.PROTECT, related_name="+")
    split = models.CharField(max_length=10, choices=Split)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dataset", "sample"], name="sample_once_per_data_set")
        ]

    def __str__(self) -> str:
        return f"{self.sample}: {self.category} ({self.split})"


class AdditionalLabel(models.Model):
    """One more category of a sample in a data set whose categories do not exclude each other."""

    item = models.ForeignKey(DatasetItem, models.CASCADE, related_name="additional_labels")
    category = models.ForeignKey(Category, models.PROTECT, related_name="+")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["item", "category"], name="further_category_once_per_item"
            )
        ]
        db_table = "training_furtherlabel"  # the name it was made with

    def __str__(self) -> str:
        return f"{self.item}, also {self.category}"


class Fingerprint(models.Model):
    """By what a labelled sample is compared with the others of its project."""

    sample = models.OneToOneField(
        Sample, models.CASCADE, primary_key=True, related_name="fingerprint"
    )
    # As signed numbers, which is what databases have
    dhash = models.BigIntegerField(
        null=True, help_text="See `perceptual_hash`; null: it shows nothing, or cannot be read."
    )
    phash = models.BigIntegerField(null=True)
    is_compared = models.BooleanField(default=False, help_text="By its hashes.")
    compared_by = models.CharField(
        max_length=64, blank=True, help_text="The digest of the backbone whose vectors were."
    )

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(dhash=None, phash=None) | Q(dhash__isnull=False, phash__isnull=False),
                name="both_hashes_or_none",
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["sample"], condition=Q(is_compared=False), name="not_compared_yet")
        ]

    def __str__(self) -> str:
        return f"fingerprint of {self.sample_id}"


class NearDuplicate(models.Model):
    """Two samples that are nearly the same: in every data set they play the same part."""

    class By(models.TextChoices):
        HASHES = "hashes", _("the same to look at")
        VECTORS = "vectors", _("the same to the network")

    first = models.ForeignKey(Sample, models.CASCADE, related_name="+")
    second = models.ForeignKey(Sample, models.CASCADE, related_name="+")
    by = models.CharField(max_length=10, choices=By)
    similarity = models.FloatField(help_text="Share of the bits that agree, or the cosine.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["first", "second"], name="two_samples_paired_once"),
            models.CheckConstraint(
                condition=Q(first__lt=models.F("second")), name="the_earlier_sample_comes_first"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.first_id} and {self.second_id}"


class DeclaredApart(models.Model):
    """A person said that two samples which look alike are not the same."""

    pair = models.OneToOneField(
        NearDuplicate, models.CASCADE, primary_key=True, related_name="declared_apart"
    )
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.pair} are not the same"


class LabelCheck(models.Model):
    """The labels of a data set were compared with what a model of the others says."""

    dataset = models.OneToOneField(DatasetVersion, models.CASCADE, related_name="label_check")
    checked = models.PositiveIntegerField(help_text="Samples that had a feature vector.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"label check of {self.dataset}"


class DoubtfulLabel(models.Model):
    """A label that is likely to be wrong, with the samples that speak for and against it.

    It is open while the decision that was doubted is in force and nobody has kept the label.
    """

    label_check = models.ForeignKey(LabelCheck, models.CASCADE, related_name="doubts")
    sample = models.ForeignKey(Sample, models.CASCADE, related_name="+")
    decision = models.ForeignKey(
        Decision, models.CASCADE, related_name="+", help_text="The one in force at the check."
    )
    suggested = models.ForeignKey(Category, models.CASCADE, related_name="+")
    quality = models.FloatField(help_text="Out-of-fold probability of the label, from 0.")
    probability = models.FloatField(help_text="Out-of-fold probability of the suggested category.")
    nearest_as_given = models.ForeignKey(Sample, models.SET_NULL, null=True, related_name="+")
    nearest_as_suggested = models.ForeignKey(Sample, models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["label_check", "sample"], name="doubted_once_per_check"
            ),
            models.CheckConstraint(
                condition=Q(quality__gte=0, quality__lte=1, probability__gte=0, probability__lte=1),
                name="doubts_are_probabilities",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sample}: {self.suggested}?"


class KeptLabel(models.Model):
    """A person looked at a doubted label and said that it is right; it is not doubted again."""

    sample = models.ForeignKey(Sample, models.CASCADE, related_name="+")
    category = models.ForeignKey(Category, models.CASCADE, related_name="+")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["sample", "category"], name="label_kept_once_per_sample"
            )
        ]

    def __str__(self) -> str:
        return f"{self.sample} is {self.category}"


class TrainingPolicy(models.Model):
    """What happens in a project without a person's word: when it trains, and what may go live.

    A project without a row follows the defaults.
    """

    project = models.OneToOneField(Project, models.CASCADE, related_name="training_policy")
    margin = models.FloatField(
        _("margin of the gate"),
        default=0.05,
        validators=[MinValueValidator(0.005), MaxValueValidator(0.5)],
        help_text=_(
            "A new model is promoted without asking only if it is certain to cost less accuracy "
            "than this: 0.05 are five points."
        ),
    )
    retrain_after_labels = models.PositiveIntegerField(
        _("retrain after so many new labels"),
        default=0,
        validators=[MaxValueValidator(1_000_000)],
        help_text=_("Decided by reviewers since the last run. 0: never by itself."),
    )
    retrain_every_days = models.PositiveIntegerField(
        _("retrain every so many days"),
        default=0,
        validators=[MaxValueValidator(365)],
        help_text=_("If there are new labels by then. 0: never by itself."),
    )
    retrain_on_drift = models.BooleanField(
        _("retrain when answers get worse"),
        default=False,
        help_text=_(
            "When the OK rate falls beyond chance, or answers or pictures differ from those when "
            "the model went live, and there are new labels. At most once a week."
        ),
    )

    class Meta:
        verbose_name_plural = "training policies"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(margin__gt=0, margin__lte=0.5), name="gate_margin_is_a_small_share"
            )
        ]

    def __str__(self) -> str:
        return f"training policy of {self.project.slug}"

    @classmethod
    def of(cls, project: Project) -> "TrainingPolicy":
        """Return the policy of a project, or the defaults, unsaved."""
        return cls.objects.filter(project=project).first() or cls(project=project)


class Sweep(models.Model):
    """Several runs on one data set version, asked for at once and done one after another."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="sweeps")
    dataset = models.ForeignKey(DatasetVersion, models.CASCADE, related_name="sweeps")
    language = models.CharField(
        max_length=10, blank=True, help_text="Of whoever asked; the logs of its runs are in it."
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return f"sweep {self.pk} of {self.project.slug}"


class TrainingRunQuerySet(models.QuerySet["TrainingRun"]):
    def active(self) -> "TrainingRunQuerySet":
        return self.filter(status__in=[TrainingRun.Status.WAITING, TrainingRun.Status.RUNNING])

    def queued(self) -> "TrainingRunQuerySet":
        """Return the runs of sweeps whose turn has not come, in their order."""
        return self.filter(status=TrainingRun.Status.QUEUED).order_by("pk")


class TrainingRun(models.Model):
    """One attempt to learn: a data set version, a trainer, its parameters and a seed."""

    class Status(models.TextChoices):
        QUEUED = "queued"  # of a sweep: it waits for other runs of its project, not for a worker
        WAITING = "waiting"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Trigger(models.TextChoices):
        PERSON = "", _("somebody asked")
        LABELS = "labels", _("enough new labels")
        SCHEDULE = "schedule", _("the schedule")
        DRIFT = "drift", _("answers got worse")

    project = models.ForeignKey(Project, models.CASCADE, related_name="runs")
    number = models.PositiveIntegerField()
    dataset = models.ForeignKey(DatasetVersion, models.PROTECT, related_name="runs")
    trainer = models.CharField(max_length=50, help_text="An alias of TRAINERS.")
    parameters = models.JSONField(default=dict)
    seed = models.PositiveBigIntegerField(default=0)
    repeats = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        related_name="repetitions",
        help_text="The run whose data set, parameters and seed it takes, to see whether its model "
        "comes out again.",
    )
    sweep = models.ForeignKey(Sweep, models.CASCADE, null=True, related_name="runs")
    code = models.JSONField(
        default=dict, help_text="Release, digest of the sources and commit, see `code_version`."
    )
    promote = models.BooleanField(
        default=False, help_text="Promote the result when it is not worse than the live model."
    )
    trigger = models.CharField(
        max_length=10,
        choices=Trigger,
        blank=True,
        default=Trigger.PERSON,
        help_text="Why it began.",
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    model_version = models.OneToOneField(
        ModelVersion, models.PROTECT, null=True, related_name="run"
    )
    # Old jobs are deleted; the run says itself how it ended
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+")
    tracking_url = models.URLField(
        max_length=500, blank=True, help_text="Its page on the MLflow server, once it is there."
    )
    curves = models.JSONField(default=dict, help_text="Name to one value per epoch.")
    log = models.TextField(blank=True)
    stages = models.JSONField(
        default=list,
        help_text="What its last try has come to: `note`, `began`, and how far the progress was.",
    )
    error = models.TextField(blank=True)
    outcome = models.TextField(
        blank=True, help_text="What became of the model: promoted, or why not."
    )
    abstaining = models.JSONField(
        default=list, help_text="Abstain thresholds proposed for wanted precisions."
    )
    unfamiliar = models.JSONField(
        default=dict,
        help_text="Split to `count` and `unfamiliar`: pictures that it would refuse as unlike all "
        "learned.",
    )
    outlook = models.JSONField(
        default=dict,
        help_text="What more labels are likely to bring, see `training.evaluation.outlook`.",
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = TrainingRunQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["project", "number"], name="run_number_is_unique_in_its_project"
            ),
            models.UniqueConstraint(
                fields=["project"],
                condition=Q(status__in=["waiting", "running"]),
                name="one_active_run_per_project",
            ),
            models.CheckConstraint(
                condition=Q(status="succeeded", model_version__isnull=False)
                | (~Q(status="succeeded") & Q(model_version__isnull=True)),
                name="model_exactly_when_succeeded",
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.number} of {self.project.slug}"

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
        help_text="Names and a matrix of counts: row = true, column = predicted. Of categories "
        "that do not exclude "
        "each other instead: how often each was named, named rightly, and true; of how many "
        "pictures all were right."
    )
    calibration = models.JSONField(
        default=dict, help_text="Bins, and the expected error with and without temperature."
    )
    answers = models.JSONField(
        default=dict, help_text="Sample id to whether the answer was right, of those scored."
    )
    thresholds = models.JSONField(
        default=dict, help_text="Counts at every threshold, see `training.evaluation.thresholds`."
    )
    skipped = models.PositiveIntegerField(
        default=0, help_text="Test samples that this model could not be asked about."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["model_version", "dataset"], name="one_evaluation_per_model_and_data_set"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model_version} on {self.dataset}"

    @property
    def is_multilabel(self) -> bool:
        """Return whether `accuracy` is the share of pictures whose categories were all right."""
        return "matrix" not in self.confusion


class NokReplay(models.Model):
    """What a model version says of a picture that a user had said NOK to; never changed."""

    model_version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="nok_replays")
    sample = models.ForeignKey(Sample, models.CASCADE, related_name="nok_replays")
    answer = models.ForeignKey(
        Category,
        models.SET_NULL,
        null=True,
        related_name="+",
        help_text="The most probable category; none if it was removed.",
    )
    is_right = models.BooleanField(help_text="By what reviewers had decided until then.")
    was_learned_from = models.BooleanField(
        help_text="In the train or validation split, so being right says little."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["model_version", "sample"], name="nok_replayed_once_per_model"
            )
        ]

    def __str__(self) -> str:
        return f"{self.sample} by {self.model_version}"


class PoolRanking(models.Model):
    """In which order unlabelled pictures of a project were found to be worth a label.

    A project's newest row counts; older ones go when it is made. `pool` is how many pictures there
    were without a label.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="pool_rankings")
    model_version = models.ForeignKey(
        ModelVersion,
        models.SET_NULL,
        null=True,
        related_name="+",
        help_text="Whose scores the proposals have; none if no model could be asked.",
    )
    pool = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["project", "-id"], name="newest_pool_ranking")]

    def __str__(self) -> str:
        return f"ranking {self.pk} of {self.pool} pictures of {self.project.slug}"


class Proposal(models.Model):
    """One picture of a ranking: to be labelled in this place."""

    ranking = models.ForeignKey(PoolRanking, models.CASCADE, related_name="proposals")
    sample = models.ForeignKey(Sample, models.CASCADE, related_name="+")
    place = models.PositiveIntegerField()
    is_drawn = models.BooleanField(help_text="At random, instead of for what it would teach.")
    scores = models.JSONField(
        default=list, help_text="A probability per class of the model version, in its order."
    )

    class Meta:
        ordering: ClassVar = ["place"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["ranking", "sample"], name="sample_proposed_once_per_ranking"
            ),
            models.UniqueConstraint(fields=["ranking", "place"], name="one_proposal_per_place"),
        ]

    def __str__(self) -> str:
        return f"{self.sample} in place {self.place}"


class NeighbourSearch(models.Model):
    """Which training samples of its model are most like the sample of a prediction.

    Found once, by a worker; a fact of the model and the sample, so it never changes.
    """

    prediction = models.OneToOneField(
        Prediction, models.CASCADE, related_name="neighbour_search", primary_key=True
    )
    nearest = models.JSONField(
        default=list, help_text="Sample id and cosine of the feature vectors, the nearest first."
    )
    compared = models.PositiveIntegerField(
        default=0, help_text="Training samples whose vectors were compared."
    )
    problem = models.CharField(max_length=300, blank=True, help_text="Why none were found.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "neighbour searches"

    def __str__(self) -> str:
        return f"{len(self.nearest)} nearest to prediction {self.prediction_id}"


class DatasetImport(models.Model):
    """A data set that somebody sent: looked through first, and taken when they have seen that.

    What it is at follows from its job, and from which of `found` and `outcome` is there.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="dataset_imports")
    name = models.CharField(max_length=200, help_text="As its sender calls the file.")
    file_name = models.CharField(
        max_length=200, blank=True, help_text="In the storage of models, until it is not needed."
    )
    labels_name = models.CharField(max_length=200, blank=True)
    labels_file = models.CharField(max_length=200, blank=True)
    format = models.CharField(max_length=20, blank=True, help_text="As its sender said, or found.")
    sub_folders_are_groups = models.BooleanField(default=False)
    found = models.JSONField(null=True, help_text="What a dry run says, see `dataset_import`.")
    outcome = models.JSONField(null=True, help_text="What became of it, in the same form.")
    report_file = models.CharField(
        max_length=200, blank=True, help_text="A row of CSV for each file, of the newest of both."
    )
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} into {self.project.slug}"

    @property
    def is_active(self) -> bool:
        """Whether it waits for a worker, or one is at it."""
        return self.job is not None and not self.job.is_ended

    @property
    def awaits_a_word(self) -> bool:
        """Whether its sender can have it taken now."""
        return self.found is not None and self.outcome is None and bool(self.file_name)

    @property
    def newest(self) -> dict[str, Any] | None:
        """What is known of it: what became of it, or else what would."""
        return self.outcome if self.outcome is not None else self.found


class DriftMeasure(models.TextChoices):
    """By what drift is told."""

    OK_RATE = "ok_rate", _("OK rate")
    SCORES = "scores", _("Confidence")
    FAMILIARITY = "familiarity", _("Familiarity")


class DriftReport(models.Model):
    """The newest measurement of drift, of a project or of one capture condition in it.

    Measured anew by a chore (`training.drift.reports`); it can be thrown away. Empty `condition`
    and `value`: of all that is sent.
    """

    class State(models.TextChoices):
        TOO_FEW = "too_few", _("Not enough answers yet")
        STEADY = "steady", _("As before")
        DRIFTING = "drifting", _("Drifting")

    project = models.ForeignKey(Project, models.CASCADE, related_name="drift_reports")
    promotion = models.ForeignKey(Promotion, models.CASCADE, related_name="drift_reports")
    measure = models.CharField(max_length=15, choices=DriftMeasure)
    condition = models.CharField(max_length=32, blank=True)
    value = models.CharField(max_length=100, blank=True)
    state = models.CharField(max_length=10, choices=State)
    since = models.DateTimeField(help_text="Since when it has been in this state.")
    index = models.FloatField(
        null=True, help_text="How far it is from the reference, on the scale of the threshold."
    )
    threshold = models.FloatField(null=True)
    before = models.FloatField(null=True, help_text="The OK rate of the reference, or its median.")
    now = models.FloatField(null=True)
    reference_count = models.PositiveIntegerField()
    recent_count = models.PositiveIntegerField()
    shares = models.JSONField(
        default=dict, help_text="`before` and `now`: the share of each bin of the reference."
    )
    history = models.JSONField(default=list, help_text="The last indexes, the oldest first.")
    measured_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["project", "measure", "condition", "value"],
                name="one_drift_report_of_each_measure",
            ),
            models.CheckConstraint(
                condition=Q(state="too_few", index=None, threshold=None)
                | Q(index__isnull=False, threshold__isnull=False),
                name="drift_is_measured_or_there_are_too_few",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.measure} of {self.project.slug}: {self.state}"


class DriftEpisodeQuerySet(models.QuerySet["DriftEpisode"]):
    def present(self, project: Project) -> "DriftEpisodeQuerySet":
        """Return the open episodes of the version that is live now."""
        live = Promotion.objects.filter(project=project).order_by("-pk").values("pk")[:1]
        return self.filter(promotion=models.Subquery(live), ended_at=None)


class DriftEpisode(models.Model):
    """A drift from its beginning to its end; people are told of it once, when it begins."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="drift_episodes")
    promotion = models.ForeignKey(Promotion, models.CASCADE, related_name="drift_episodes")
    measure = models.CharField(max_length=15, choices=DriftMeasure)
    condition = models.CharField(max_length=32, blank=True)
    value = models.CharField(max_length=100, blank=True)
    index = models.FloatField(help_text="When it began.")
    threshold = models.FloatField()
    before = models.FloatField()
    now = models.FloatField()
    alarmed_at = models.DateTimeField(
        null=True, help_text="None where the same drift of the whole project was told."
    )
    began_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    objects = DriftEpisodeQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["promotion", "measure", "condition", "value"],
                condition=Q(ended_at=None),
                name="one_open_episode_of_each_drift",
            )
        ]
        indexes: ClassVar = [models.Index(fields=["project", "-id"], name="newest_drift_episodes")]

    def __str__(self) -> str:
        return f"{self.measure} of {self.project.slug} since {self.began_at:%Y-%m-%d %H:%M}"
