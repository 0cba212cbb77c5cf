"""Which samples are images to a client, with their tags: now, or in the data set of an iteration.

An image is a picture that was added to learn from, or that has a ruling which names its category. What users sent, and
nobody has ruled about, is none; it is a stored prediction at most.
"""

from collections import Counter
from uuid import UUID

from django.db.models import Count, DateTimeField, Exists, F, OuterRef, Q, QuerySet, Subquery, UUIDField, Value

from predictions.models import Project, Sample
from review.ground_truth import NAMES_A_CATEGORY
from review.models import Decision
from training.models import DatasetItem, DatasetVersion


def images(project: Project) -> QuerySet:
    """Return the images of a project as they are now, annotated with `added_at` and the tag or None."""
    newest = Decision.objects.filter(sample=OuterRef("pk")).order_by("-id")
    rows = Sample.objects.with_picture().filter(project=project)
    rows = rows.annotate(
        outcome=Subquery(newest.values("outcome")[:1]),
        tag_id=Subquery(newest.values("category__uuid")[:1]),
        tag_name=Subquery(newest.values("category__name")[:1]),
        tagged_at=Subquery(newest.values("created_at")[:1]),
        added_at=F("training_image__added_at"),
    )
    is_open = Q(outcome=None) | Q(outcome=Decision.Outcome.REOPENED)
    return rows.filter(Q(outcome__in=NAMES_A_CATEGORY) | (Q(training_image__isnull=False) & is_open))


def images_in(dataset: DatasetVersion) -> QuerySet:
    """Return the images of a data set as they were, annotated in the same way."""
    item = DatasetItem.objects.filter(dataset=dataset, sample=OuterRef("pk"))
    return (
        Sample.objects.with_picture()
        .filter(Exists(item))
        .annotate(
            tag_id=Subquery(item.values("category__uuid")[:1]),
            tag_name=Subquery(item.values("category__name")[:1]),
            tagged_at=Subquery(item.values("dataset__created_at")[:1]),
            added_at=F("training_image__added_at"),
        )
    )


def of_nothing() -> QuerySet:
    """Return no images, for a version that no data set of ours has made."""
    nothing = Value(None, output_field=DateTimeField())
    no_id = Value(None, output_field=UUIDField())
    return Sample.objects.none().annotate(tag_id=no_id, tag_name=F("sha256"), tagged_at=nothing, added_at=nothing)


def tag_counts(project: Project, dataset: DatasetVersion | None = None) -> Counter[UUID]:
    """Return how many images each tag has, by the tag's id."""
    if dataset:
        in_it = dataset.items.values_list("category__uuid").annotate(images=Count("pk"))
        return Counter(dict(in_it.order_by()))
    newer = Decision.objects.filter(sample=OuterRef("sample"), pk__gt=OuterRef("pk"))
    held = Decision.objects.filter(~Exists(newer), sample__project=project, outcome__in=NAMES_A_CATEGORY)
    held = held.exclude(sample__location=Sample.Location.NOWHERE)
    return Counter(dict(held.values_list("category__uuid").annotate(images=Count("pk")).order_by()))
