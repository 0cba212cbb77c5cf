"""What a wrong label has led to: which models learned it, and what they have answered since."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from common.csv_lines import csv_lines
from common.pagination import KeysetPage, keyset_page
from predictions.models import Feedback, ModelVersion, Prediction, Sample
from review import ground_truth
from review.models import Decision
from training.models import DatasetItem, DatasetVersion, TrainingRun

PAGE = 60
COLUMNS = (
    "prediction",
    "sample",
    "model_version",
    "answered_at",
    "answer",
    "confidence",
    "verdict",
)


@dataclass(frozen=True)
class PastLabel:
    """What a data set version held a sample for, and the models that learned from it."""

    item: DatasetItem
    categories: tuple[str, ...]
    is_wrong: bool  # by the decision in force
    versions: Sequence[ModelVersion]

    @property
    def was_learned(self) -> bool:
        """Whether models learned from it; in the test split it only measured them."""
        return self.item.split != DatasetItem.Split.TEST


@dataclass(frozen=True)
class SampleUses:
    """Where a sample was used, and under which labels.

    `truth` are the categories that are true now; none where nothing is decided, or it was
    discarded.
    """

    sample: Sample
    decision: Decision | None
    truth: tuple[str, ...]
    labels: Sequence[PastLabel]

    @property
    def misled(self) -> list[ModelVersion]:
        """Return the versions that learned a wrong label of it, the newest first."""
        found = {
            version.pk: version
            for label in self.labels
            if label.is_wrong and label.was_learned
            for version in label.versions
        }
        return sorted(found.values(), key=lambda version: -version.number)


def trace_sample(sample: Sample) -> SampleUses:
    """Return the data set versions that hold a sample, the newest first: five queries."""
    decision = (
        Decision.objects.newest_first(sample)
        .select_related("category", "reviewer")
        .prefetch_related("additional_categories__category")
        .first()
    )
    truth = _categories(decision)
    items = list(
        DatasetItem.objects.filter(sample=sample)
        .select_related("dataset", "category")
        .prefetch_related("additional_labels__category")
        .order_by("-dataset__number")
    )
    versions: dict[int, list[ModelVersion]] = {item.dataset_id: [] for item in items}
    runs = TrainingRun.objects.filter(dataset__in=versions, status=TrainingRun.Status.SUCCEEDED)
    for run in runs.select_related("model_version").order_by("-pk"):
        if run.model_version:
            versions[run.dataset_id].append(run.model_version)
    labels = []
    for item in items:
        also = (label.category.name for label in item.additional_labels.all())
        categories = tuple(sorted({item.category.name, *also}))
        # Where the decision was taken back, nobody has said that the label is wrong
        is_wrong = _is_decided(decision) and categories != truth
        labels.append(PastLabel(item, categories, is_wrong, versions[item.dataset_id]))
    return SampleUses(sample, decision, truth, labels)


def answers_of(versions: Iterable[ModelVersion]) -> QuerySet[Prediction]:
    """Return the answers that came from some versions."""
    return Prediction.objects.filter(model_version__in=list(versions)).select_related(
        "sample", "top", "model_version"
    )


def answer_page(
    versions: Iterable[ModelVersion], *, before: int | None = None
) -> KeysetPage[Prediction]:
    """Return the newest answers of some versions, or those before a key."""
    return keyset_page(answers_of(versions), after=before, size=PAGE, key="-pk")


def answer_lines(versions: Iterable[ModelVersion]) -> Iterator[str]:
    """Yield all answers of some versions as lines of CSV, oldest first, without users' names."""
    verdict = Feedback.objects.filter(prediction=OuterRef("pk")).order_by("-pk").values("verdict")
    answers = answers_of(versions).annotate(newest_verdict=Subquery(verdict[:1])).order_by("pk")
    return csv_lines(
        COLUMNS,
        (
            (
                each.uuid,
                each.sample.uuid,
                each.model_version.number,
                each.created_at.isoformat(),
                each.top.name if each.top else "",
                f"{each.confidence:.4f}",
                each.newest_verdict or "",
            )
            for each in answers.iterator(2000)
        ),
    )


def overruled_items(dataset: DatasetVersion) -> QuerySet[DatasetItem]:
    """Return the items whose sample reviewers have decided otherwise since.

    Where categories do not exclude each other, those whose decision names another first category;
    the page of a sample compares all of them.
    """
    newest = Decision.objects.newest_first(OuterRef("sample"))
    return dataset.items.annotate(
        outcome_now=Subquery(newest.values("outcome")[:1]),
        category_now=Subquery(newest.values("category")[:1]),
    ).filter(
        Q(outcome_now=Decision.Outcome.DISCARDED)
        | Q(outcome_now__in=ground_truth.LABELLING_OUTCOMES) & ~Q(category_now=F("category"))
    )


def _categories(decision: Decision | None) -> tuple[str, ...]:
    if decision is None or decision.category is None:
        return ()
    also = (each.category.name for each in decision.additional_categories.all())
    return tuple(sorted({decision.category.name, *also}))


def _is_decided(decision: Decision | None) -> bool:
    return decision is not None and decision.outcome != Decision.Outcome.REOPENED
