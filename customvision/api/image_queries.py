"""Which samples are images to a client, with their tags: now, or in the data set of an iteration.

An image is a training image, or a sample whose decision in force names a category. A picture that a
user sent and nobody decided about is no image; it is a stored prediction at most.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import (
    BigIntegerField,
    Count,
    DateTimeField,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)

from predictions.models import Category, Project, Sample
from review.ground_truth import LABELLING_OUTCOMES
from review.models import AdditionalCategory, Decision
from training.models import AdditionalLabel, DatasetItem, DatasetVersion

# By whether the rows are of a data set: the model of additional tags, and its foreign key
_ADDITIONAL: dict[bool, tuple[Any, str]] = {
    False: (AdditionalCategory, "decision"),
    True: (AdditionalLabel, "item"),
}


def current_images(project: Project, *, with_one_of: Sequence[UUID] = ()) -> QuerySet:
    """Return a project's present images, annotated with `added_at` and the first tag or None.

    With tag ids only those that have one of these tags. `place_id` is the key of the row that names
    the tags, see `tags_by_image`.
    """
    newest = Decision.objects.newest_first(OuterRef("pk"))
    rows: QuerySet = Sample.objects.with_picture().filter(project=project)
    rows = rows.annotate(
        outcome=Subquery(newest.values("outcome")[:1]),
        is_frozen=Value(False),
        place_id=Subquery(newest.values("pk")[:1]),
        tag_id=Subquery(newest.values("category_id")[:1]),
        tagged_at=Subquery(newest.values("created_at")[:1]),
        added_at=F("training_image__added_at"),
    )
    rows = _having(
        rows, AdditionalCategory.objects.filter(decision=OuterRef("place_id")), with_one_of
    )
    is_open = Q(outcome=None) | Q(outcome=Decision.Outcome.REOPENED)
    return rows.filter(
        Q(outcome__in=LABELLING_OUTCOMES) | (Q(training_image__isnull=False) & is_open)
    )


def dataset_images(dataset: DatasetVersion, *, with_one_of: Sequence[UUID] = ()) -> QuerySet:
    """Return the images of a data set as they were, annotated in the same way."""
    item = DatasetItem.objects.filter(dataset=dataset, sample=OuterRef("pk"))
    rows = (
        Sample.objects.with_picture()
        .filter(Exists(item))
        .annotate(
            is_frozen=Value(True),
            place_id=Subquery(item.values("pk")[:1]),
            tag_id=Subquery(item.values("category_id")[:1]),
            tagged_at=Subquery(item.values("dataset__created_at")[:1]),
            added_at=F("training_image__added_at"),
        )
    )
    return _having(rows, AdditionalLabel.objects.filter(item=OuterRef("place_id")), with_one_of)


def _having(rows: QuerySet, additional: QuerySet, uuids: Sequence[UUID]) -> QuerySet:
    if not uuids:
        return rows
    wanted = Category.everywhere.filter(uuid__in=uuids)
    return rows.filter(
        Q(tag_id__in=wanted.values("pk")) | Exists(additional.filter(category__in=wanted))
    )


def no_images() -> QuerySet:
    """Return no images, for a version that was not trained on a data set of ours."""
    nothing = Value(None, output_field=DateTimeField())
    no_id = Value(None, output_field=BigIntegerField())
    return Sample.objects.none().annotate(tag_id=no_id, tagged_at=nothing, added_at=nothing)


def tags_by_image(rows: Sequence[Any]) -> dict[int, list[Category]]:
    """Return the tags of rows of `current_images` or `dataset_images`, by the image's key."""
    # Two queries for any number of images: additional tags, then all categories
    tagged = [row for row in rows if row.tag_id]
    ids: dict[int, list[int]] = {row.pk: [row.tag_id] for row in tagged}
    if tagged and tagged[0].project.multilabel:
        image_of = {row.place_id: row.pk for row in tagged}
        additional, place = _ADDITIONAL[tagged[0].is_frozen]
        also = additional.objects.filter(**{f"{place}__in": list(image_of)}).order_by(
            "category__name"
        )
        for place_id, category in also.values_list(place, "category"):
            ids[image_of[place_id]].append(category)
    known = Category.everywhere.in_bulk({one for each in ids.values() for one in each})
    return {image: [known[one] for one in each] for image, each in ids.items()}


def count_by_tag(project: Project, dataset: DatasetVersion | None = None) -> Counter[UUID]:
    """Return how many images each tag has, by the tag's id."""
    if dataset:
        also = AdditionalLabel.objects.filter(item__dataset=dataset)
        return _counted(dataset.items.all()) + _counted(also)
    held = Decision.objects.in_force().filter(
        sample__project=project, outcome__in=LABELLING_OUTCOMES
    )
    held = held.exclude(sample__location=Sample.Location.NOWHERE)
    also_held = AdditionalCategory.objects.filter(decision__in=held) if project.multilabel else None
    return _counted(held) + (Counter() if also_held is None else _counted(also_held))


def _counted(rows: QuerySet) -> Counter[UUID]:
    return Counter(dict(rows.values_list("category__uuid").annotate(images=Count("pk")).order_by()))
