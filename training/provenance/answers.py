"""Where an answer comes from: its model, the data set that taught it, who decided what and when."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from django.db.models import QuerySet

from accounts import roles
from accounts.models import User
from predictions.models import Feedback, ModelVersion, Prediction, Promotion, Sample
from review import ground_truth
from review.models import Decision
from training.data import datasets
from training.models import DatasetItem, DatasetVersion, TrainingRun
from training.provenance import neighbours
from training.provenance.neighbours import SearchResult


@dataclass(frozen=True)
class NearSample:
    """A training sample that is like the one asked about, and how it came by its label."""

    sample: Sample
    cosine: float
    categories: tuple[str, ...]
    decision: Decision | None  # the newest before the data set was frozen
    latest: Decision | None  # in force now, where that is another one

    @property
    def is_overruled(self) -> bool:
        """Whether reviewers say something else by now than what the model learned."""
        if self.latest is None:
            return False
        return self.latest.category is None or self.latest.category.name not in self.categories


@dataclass(frozen=True)
class AnswerOrigin:
    """Everything that led to one answer, as far as it is kept here."""

    prediction: Prediction
    version: ModelVersion
    promotion: Promotion | None  # by which it was live when it answered
    run: TrainingRun | None
    dataset: DatasetVersion | None
    split_totals: Sequence[int]  # pictures to train, to validate and to test with
    search: SearchResult
    nearest: Sequence[NearSample] = ()
    verdicts: Sequence[Feedback] = ()
    decisions: Sequence[Decision] = ()
    # Of the sample itself, where the model learned from it or was tested with it
    own_item: DatasetItem | None = field(default=None)


def traceable_by(user: User) -> QuerySet[Prediction]:
    """Return the predictions whose origin a user may see: one's own; reviewers see all."""
    if user.has_perm(roles.REVIEW):
        return Prediction.objects.filter(project__removed_at=None)
    return Prediction.objects.visible_to(user)


def trace_answer(prediction: Prediction, *, by: User) -> AnswerOrigin:
    """Gather what led to an answer; the nearest training samples are searched if they are not yet.

    A dozen queries, however large the data set.
    """
    version = prediction.model_version
    run = (
        TrainingRun.objects.filter(model_version=version)
        .select_related("dataset", "requested_by")
        .first()
    )
    dataset = run.dataset if run else None
    search = neighbours.find_or_request(prediction, by=by)
    verdicts = Feedback.objects.filter(prediction__sample=prediction.sample_id)
    if not by.has_perm(roles.REVIEW):
        # What others said of the same picture is not theirs to know
        verdicts = verdicts.filter(user=by)
    return AnswerOrigin(
        prediction=prediction,
        version=version,
        promotion=_promotion(prediction),
        run=run,
        dataset=dataset,
        split_totals=datasets.split_totals(dataset) if dataset else (),
        search=search,
        nearest=_near_samples(search, dataset) if dataset else (),
        verdicts=list(
            verdicts.select_related("user", "category", "prediction__model_version").order_by("pk")
        ),
        decisions=list(
            Decision.objects.filter(sample=prediction.sample_id)
            .select_related("category", "reviewer")
            .order_by("pk")
        ),
        own_item=_item(dataset, prediction.sample_id) if dataset else None,
    )


def _promotion(prediction: Prediction) -> Promotion | None:
    """Return the promotion by which a version was live when it answered."""
    newest = Promotion.objects.filter(
        project=prediction.project_id, created_at__lte=prediction.created_at
    ).select_related("promoted_by")
    found = newest.order_by("-id").first()
    # Another version was live: this one stood in for it, or was asked beside it
    return found if found and found.model_version_id == prediction.model_version_id else None


def _near_samples(search: SearchResult, dataset: DatasetVersion) -> list[NearSample]:
    if search.search is None:
        return []
    cosines = {int(sample): cosine for sample, cosine in search.search.nearest}
    items = {item.sample_id: item for item in _items(dataset, cosines)}
    decisions: dict[int, list[Decision]] = defaultdict(list)
    rows = Decision.objects.filter(sample__in=cosines).select_related("category", "reviewer")
    for each in rows.order_by("pk"):
        decisions[each.sample_id].append(each)
    found = []
    for sample, cosine in cosines.items():
        if item := items.get(sample):
            then, latest = _decisions_of(decisions[sample], dataset)
            labels = sorted(each.category.name for each in item.additional_labels.all())
            categories = (item.category.name, *labels)
            found.append(NearSample(item.sample, cosine, categories, then, latest))
    return found


def _decisions_of(
    decisions: Sequence[Decision], dataset: DatasetVersion
) -> tuple[Decision | None, Decision | None]:
    """Return what was decided when a data set was frozen, and what is in force if it is newer."""
    labelling = [
        each
        for each in decisions
        if each.outcome in ground_truth.LABELLING_OUTCOMES and each.created_at <= dataset.created_at
    ]
    then = labelling[-1] if labelling else None
    latest = decisions[-1] if decisions else None
    return then, latest if latest != then else None


def _items(dataset: DatasetVersion, samples: Collection[int]) -> QuerySet[DatasetItem]:
    return (
        dataset.items.filter(sample__in=samples)
        .select_related("sample", "category")
        .prefetch_related("additional_labels__category")
    )


def _item(dataset: DatasetVersion, sample: int) -> DatasetItem | None:
    return _items(dataset, [sample]).first()
