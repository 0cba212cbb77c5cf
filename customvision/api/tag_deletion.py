"""Deleting tags, and taking them off images."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, ProtectedError, Q, QuerySet
from django.utils.translation import gettext_lazy

from accounts.models import User
from common.progress import Progress
from common.tasks import task
from common.transactions import durable_transaction
from customvision.models import RetiredTag, TrainingImage
from predictions.models import Category, Feedback, Prediction, Sample, ShadowPrediction
from review import decisions, ground_truth
from review.models import AdditionalCategory, Decision, SecondOpinion
from training.models import AdditionalLabel, DatasetItem

ROWS_AT_ONCE = 100  # in one transaction: SQLite has one writer, and a long one blocks the rest


@durable_transaction()
def remove_tag(category: Category, *, by: User) -> None:
    """Hide a tag and take it off its images; of many, the worker does the rest.

    The category itself is deleted too, unless past decisions or data sets refer to it.
    """
    # Clients do not see the tag from now on, however long the rest takes
    RetiredTag.objects.get_or_create(category=category)
    if _untag_some(category, by=by) or _detach_some(category):
        erase_tag.using(key=tag_key(category)).enqueue(category_key=category.pk, by_key=by.pk)
    else:
        _delete_unless_needed(category)


@task(
    "customvision.erase_tag",
    stored_as={"category_key": "category", "by_key": "by"},
    title=gettext_lazy("Delete a tag for the Custom Vision API"),
)
def erase_tag(progress: Progress, category_key: int, by_key: int) -> None:
    """Do the rest of `remove_tag`, some rows in each transaction. Safe to repeat."""
    by = User.objects.filter(pk=by_key).first()
    category = Category.objects.filter(pk=category_key).exclude(retired=None).first()
    # A tag that was created again in the meantime is no longer retired
    if by is None or category is None:
        return
    while _untag_some(category, by=by) or _detach_some(category):
        progress(0, 0)
    _delete_unless_needed(category)


def tag_key(category: Category) -> str:
    """Return the key of the job that does the rest of `remove_tag`."""
    return f"{erase_tag.kind}:{category.pk}"


def _untag_some(category: Category, *, by: User) -> bool:
    """Untag some images; say whether there may be more."""
    held = ground_truth.samples_showing(category).order_by("pk").values_list("pk", flat=True)
    keys = list(held[:ROWS_AT_ONCE])
    remove_tags(Sample.objects.filter(pk__in=keys), [category], by=by)
    return len(keys) == ROWS_AT_ONCE


@transaction.atomic
def _detach_some(category: Category) -> bool:
    """Detach some predictions and feedback from a category; say whether there may be more."""
    if _is_referenced(category):
        return False
    # A user's suggestion is kept as words, like a name that no category has yet. Predictions keep
    # the names of their scores anyway
    changes: list[tuple[QuerySet, dict[str, Any]]] = [
        (
            Feedback.objects.filter(category=category),
            {"category": None, "suggestion": category.name},
        ),
        (Prediction.objects.filter(top=category), {"top": None}),
        (ShadowPrediction.objects.filter(top=category), {"top": None}),
    ]
    is_more = False
    for rows, change in changes:
        keys = list(rows.values_list("pk", flat=True)[:ROWS_AT_ONCE])
        rows.model._base_manager.filter(pk__in=keys).update(**change)
        is_more = is_more or len(keys) == ROWS_AT_ONCE
    return is_more


def _is_referenced(category: Category) -> bool:
    rows = (
        Decision.objects,
        SecondOpinion.objects,
        AdditionalCategory.objects,
        DatasetItem.objects,
        AdditionalLabel.objects,
    )
    return any(each.filter(category=category).exists() for each in rows)


def _delete_unless_needed(category: Category) -> None:
    if not _is_referenced(category):
        # A reviewer may have chosen the category just now: then it stays, hidden from clients
        with suppress(ProtectedError), transaction.atomic():
            category.delete()


@durable_transaction()
def remove_tags(samples: QuerySet[Sample], categories: Iterable[Category], *, by: User) -> None:
    """Take tags off images; the other tags of these images stay."""
    gone = list(categories)
    also = Exists(AdditionalCategory.objects.filter(decision=OuterRef("pk"), category__in=gone))
    held = Decision.objects.in_force().filter(Q(category__in=gone) | also, sample__in=samples)
    # Evaluated for its locks, in the order of the keys so that two callers cannot deadlock
    list(
        samples.filter(pk__in=held.values("sample"))
        .select_for_update()
        .order_by("pk")
        .values_list("pk")
    )
    for decision in held.select_related("sample__project", "category").prefetch_related(
        "additional_categories__category"
    ):
        sample, shown = (
            decision.sample,
            [decision.category, *(each.category for each in decision.additional_categories.all())],
        )
        # Untagged it is still an image, even if it was labelled on Classifr's own pages
        TrainingImage.objects.get_or_create(sample=sample)
        if left := [one for one in shown if one and one not in gone]:
            decisions.label_many_multilabel(
                sample.project, [(sample, left)], by=by, reason=decision.reason
            )
        else:
            decisions.reopen(sample, by=by)
