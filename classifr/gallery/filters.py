"""Which samples of a project somebody wants to see: the filters of the gallery, and their query.

The answer of a sample is the newest prediction of it, or the newest of one version; its label is
the decision in force. All filters are conditions on the row of a sample, so that `pages` can walk
along the samples and never sorts or joins more than it shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from predictions.models import (
    CaptureCondition,
    Category,
    ModelVersion,
    Prediction,
    Project,
    Sample,
)
from review import ground_truth
from review.models import AdditionalCategory, Decision
from training.data.datasets import VECTORS_ONLY
from training.evaluation import label_check
from training.models import DatasetItem, DatasetVersion, Evaluation, NearDuplicate

MOST_TESTED = 20_000  # samples of one cell of a confusion matrix


class State(TextChoices):
    LABELLED = "labelled", _("Labelled")
    UNLABELLED = "unlabelled", _("Not labelled")
    DISCARDED = "discarded", _("Discarded")


class Verdict(TextChoices):
    """Whether the model's answer is what reviewers decided; neither where nothing is decided."""

    RIGHT = "right", _("Right")
    WRONG = "wrong", _("Wrong")


class Sign(TextChoices):
    LABEL_ERROR = "label-error", _("Likely label error")
    DUPLICATE = "duplicate", _("Near duplicate")
    UNFAMILIAR = "unfamiliar", _("Unfamiliar")
    NO_ANSWER = "no-answer", _("Without an answer")


class Split(TextChoices):
    """The part that a sample plays in the newest data set."""

    TRAIN = DatasetItem.Split.TRAIN.value, _("Train")
    VALIDATION = DatasetItem.Split.VALIDATION.value, _("Validation")
    TEST = DatasetItem.Split.TEST.value, _("Test")


@dataclass(frozen=True)
class TestedCell:
    """A cell of the confusion matrix of a version: test samples of one category by its answer."""

    evaluation: Evaluation
    row: int
    column: int

    @property
    def truth(self) -> str:
        return self.evaluation.confusion["names"][self.row]

    @property
    def answer(self) -> str:
        return self.evaluation.confusion["names"][self.column]

    @property
    def condition(self) -> Q:
        """Return the condition that a sample is in the cell; of very many, the newest are."""
        if self.row != self.column:
            mistakes = self.evaluation.confusion.get("mistakes", {})
            keys = [int(pk) for pk, cell in mistakes.items() if cell == [self.row, self.column]]
        else:
            keys = [int(pk) for pk, right in self.evaluation.answers.items() if right]
        # A database takes only so many values in a statement
        wanted = Q(pk__in=sorted(keys, reverse=True)[:MOST_TESTED])
        if self.row != self.column:
            return wanted
        items = DatasetItem.objects.filter(
            dataset=self.evaluation.dataset_id, sample=OuterRef("pk"), category__name=self.truth
        )
        return wanted & Q(Exists(items))


@dataclass(frozen=True)
class GalleryFilters:
    """What to show; each field is named as its parameter, and empty or None where all is."""

    project: Project
    category: Sequence[Category] = ()
    answer: Sequence[Category] = ()
    model: str = ""
    state: str = ""
    split: str = ""
    source: str = ""
    sign: str = ""
    low: float | None = None  # confidence, in percent
    high: float | None = None
    since: date | None = None
    until: date | None = None
    user: str = ""
    version: ModelVersion | None = None
    condition: str = ""  # "line:3"
    tested: "TestedCell | None" = None
    q: str = ""

    @property
    def reads_texts(self) -> bool:
        """Whether the words that are looked for may be in the stored contents themselves."""
        return bool(self.q) and self.project.is_of_texts

    @property
    def name_decisions(self) -> bool:
        """Whether who asks for these samples says what was decided about them."""
        return bool(self.category or self.model or self.state in (State.LABELLED, State.DISCARDED))


def shown_samples(project: Project) -> QuerySet[Sample]:
    """Return the samples of a project whose content is there, or whose vectors are."""
    return Sample.objects.filter(
        ~Q(location=Sample.Location.NOWHERE) | VECTORS_ONLY, project=project
    )


def newest_dataset(project: Project) -> DatasetVersion | None:
    return DatasetVersion.objects.filter(project=project).defer("report").first()


def matching_samples(wanted: GalleryFilters) -> QuerySet[Sample]:
    """Return the samples that fit the filters, but for words in stored texts."""
    rows = shown_samples(wanted.project)
    for condition in (*_decided(wanted), *_answered(wanted), *_placed(wanted), *_found(wanted)):
        rows = rows.filter(condition)
    return rows


def newest_answers(version: ModelVersion | None = None) -> QuerySet[Prediction]:
    """Return the newest prediction of each sample, or the newest of a version."""
    of_version = {"model_version": version} if version else {}
    newer = Prediction.objects.filter(
        sample=OuterRef("sample"), pk__gt=OuterRef("pk"), **of_version
    )
    return Prediction.objects.filter(~Exists(newer), **of_version)


def is_named(wanted: GalleryFilters) -> Exists:
    """Return the condition that somebody sent the sample under a name with these words."""
    named = Prediction.objects.filter(sample=OuterRef("pk"), shown_name__icontains=wanted.q)
    return Exists(named)


def _decided(wanted: GalleryFilters) -> list[Any]:
    in_force = Decision.objects.in_force().filter(sample=OuterRef("pk"))
    conditions: list[Any] = []
    if wanted.state == State.UNLABELLED:
        conditions.append(ground_truth.is_undecided("pk"))
    elif wanted.state:
        outcomes = {
            State.LABELLED: ground_truth.LABELLING_OUTCOMES,
            State.DISCARDED: (Decision.Outcome.DISCARDED,),
        }[State(wanted.state)]
        conditions.append(Exists(in_force.filter(outcome__in=outcomes)))
    if wanted.category:
        shows = Q(category__in=wanted.category)
        if wanted.project.multilabel:
            also = AdditionalCategory.objects.filter(
                decision=OuterRef("pk"), category__in=wanted.category
            )
            shows |= Q(Exists(also))
        conditions.append(Exists(in_force.filter(shows)))
    return conditions


def _answered(wanted: GalleryFilters) -> list[Any]:
    answers = newest_answers(wanted.version).filter(sample=OuterRef("pk"))
    asked: dict[str, Any] = {}
    if wanted.answer:
        asked["top__in"] = wanted.answer
    if wanted.low is not None:
        asked["confidence__gte"] = wanted.low / 100
    if wanted.high is not None:
        asked["confidence__lte"] = wanted.high / 100
    if wanted.sign == Sign.UNFAMILIAR:
        asked["is_unfamiliar"] = True
    elif wanted.sign == Sign.NO_ANSWER:
        asked["abstained"] = True
    if wanted.model:
        newest = Decision.objects.newest_first(OuterRef("sample"))
        answers = answers.annotate(
            decision=Subquery(newest.values("pk")[:1]),
            truth=Subquery(newest.values("category")[:1]),
        ).filter(truth__isnull=False)
        is_right = Q(top=F("truth"))
        if wanted.project.multilabel:
            also = AdditionalCategory.objects.filter(
                decision=OuterRef("decision"), category=OuterRef("top")
            )
            is_right |= Q(Exists(also))
        # A top that is no more is not the truth either, and NULL is neither equal nor unequal
        is_known = Q(top__isnull=False)
        answers = (
            answers.filter(is_known & is_right)
            if wanted.model == Verdict.RIGHT
            else answers.filter(~is_known | ~is_right)
        )
    return [Exists(answers.filter(**asked))] if asked or wanted.model or wanted.version else []


def _placed(wanted: GalleryFilters) -> list[Any]:
    conditions: list[Any] = []
    if wanted.split:
        # Without a data set there is none with this key either
        newest = newest_dataset(wanted.project)
        items = DatasetItem.objects.filter(
            dataset=newest.pk if newest else 0, sample=OuterRef("pk"), split=wanted.split
        )
        conditions.append(Exists(items))
    if wanted.tested:
        conditions.append(wanted.tested.condition)
    if wanted.sign == Sign.LABEL_ERROR:
        doubted = label_check.open_doubts(wanted.project).order_by().values("sample")
        conditions.append(Q(pk__in=doubted))
    elif wanted.sign == Sign.DUPLICATE:
        pairs = NearDuplicate.objects.filter(declared_apart=None)
        conditions.append(
            Exists(pairs.filter(first=OuterRef("pk"))) | Exists(pairs.filter(second=OuterRef("pk")))
        )
    return conditions


def _found(wanted: GalleryFilters) -> list[Any]:
    conditions: list[Any] = []
    if wanted.source:
        conditions.append(Q(origin=wanted.source))
    if wanted.since:
        conditions.append(Q(created_at__gte=_midnight(wanted.since)))
    if wanted.until:
        conditions.append(Q(created_at__lt=_midnight(wanted.until + timedelta(days=1))))
    if wanted.user:
        conditions.append(Q(uploaded_by__username=wanted.user))
    if wanted.condition:
        name, _colon, value = wanted.condition.partition(":")
        taken = CaptureCondition.objects.filter(sample=OuterRef("pk"), name=name, value=value)
        conditions.append(Exists(taken))
    if wanted.q and not wanted.reads_texts:
        conditions.append(is_named(wanted))
    return conditions


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
