"""Deleting a category, or merging it into another: at once out of sight, then off its samples.

Past decisions and data sets keep it, so its row stays as long as one of them refers to it. What was
decided is undone only by newer decisions: each sample gets its own.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, ProtectedError, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from common.errors import InvalidInput
from common.progress import Progress
from common.tasks import task
from common.transactions import durable_transaction
from predictions import categories
from predictions.models import (
    Category,
    Feedback,
    Prediction,
    Project,
    Sample,
    ShadowPrediction,
)
from review import decisions, ground_truth
from review.models import AdditionalCategory, Decision, SecondOpinion
from training.lifecycle import belongings, project_deletion
from training.models import AdditionalLabel, DatasetItem, DoubtfulLabel, KnownCategory

ROWS_AT_ONCE = 100  # in one transaction: SQLite has one writer, and a long one blocks the rest


@durable_transaction()
def delete_category(category: Category, *, by: User) -> bool:
    """Hide a category and take it off its samples; say whether a worker does the rest.

    Samples that show nothing else have no label again. The row itself goes too, unless past
    decisions or data sets refer to it.

    Raises ProjectBusy while something is imported into the project.
    """
    _retire(category, into=None)
    return _begin(category, by=by)


@durable_transaction()
def merge_category(category: Category, *, into: Category, by: User) -> bool:
    """Make one category part of another; say whether a worker does the rest.

    Each of its samples gets a new decision, and what users suggested follows. The models that know
    the old name go on until the next run; what they answer by it counts for the new one.

    Raises:
        InvalidInput: if they are the same, of two projects, or one of them was deleted.
        ProjectBusy: while something is imported into the project.
    """
    if into.pk == category.pk or into.project_id != category.project_id:
        raise InvalidInput(_("Choose another category of the same project to merge it into."))
    _retire(category, into=into)
    return _begin(category, by=by)


@task(
    "training.remove_category",
    stored_as={"category_key": "category", "by_key": "by"},
    title=gettext_lazy("Take a deleted or merged category off its samples"),
)
def finish_removal(progress: Progress, category_key: int, by_key: int) -> None:
    """Do the rest of a deletion or a merge, some rows in each transaction. Safe to repeat."""
    by = User.objects.filter(pk=by_key).first()
    # One that was added again in the meantime is removed no more
    category = (
        Category.everywhere.filter(pk=category_key)
        .exclude(removed_at=None)
        .select_related("project", "merged_into")
        .first()
    )
    if by is None or category is None:
        return
    while _relabel_some(category, by=by) or _detach_some(category):
        progress(0, 0)
    _delete_unless_needed(category)


@durable_transaction()
def take_off(
    samples: QuerySet[Sample],
    gone: Iterable[Category],
    *,
    by: User,
    into: Category | None = None,
    reason: str = "",
) -> None:
    """Take categories off samples; the other categories of these samples stay.

    Args:
        into: what they show instead; without it, the decision about a sample that is left with
            nothing is undone.
        reason: of the new decisions; as it was unless given.
    """
    former = list(gone)
    also = Exists(AdditionalCategory.objects.filter(decision=OuterRef("pk"), category__in=former))
    held = Decision.objects.in_force().filter(Q(category__in=former) | also, sample__in=samples)
    # Evaluated for its locks, in the order of the keys so that two callers cannot deadlock
    list(
        samples.filter(pk__in=held.values("sample"))
        .select_for_update()
        .order_by("pk")
        .values_list("pk")
    )
    found = list(
        held.select_related("sample__project", "category").prefetch_related(
            "additional_categories__category"
        )
    )
    if into is None:
        belongings.labels_withdrawn([decision.sample for decision in found])
    for decision in found:
        further = (each.category for each in decision.additional_categories.all())
        shown = [one for one in (decision.category, *further) if one]
        left = [into if one in former else one for one in shown]
        kept = [one for one in left if one]
        why = reason or decision.reason
        if kept:
            decisions.label_many_multilabel(
                decision.sample.project, [(decision.sample, kept)], by=by, reason=why
            )
        else:
            decisions.reopen(decision.sample, by=by, reason=reason)


def _retire(category: Category, *, into: Category | None) -> None:
    # An import would go on to label with it
    project_deletion.refuse_while_importing(category.project)
    # Locked, so that of two merges into each other one is refused
    Project.objects.select_for_update().get(pk=category.project_id)
    present = {category.pk, *([into.pk] if into else [])}
    if Category.objects.filter(pk__in=present).count() != len(present):
        raise InvalidInput(_("The category was deleted in the meantime."))
    # Nobody can choose it from now on, however long the rest takes
    Category.everywhere.filter(pk=category.pk).update(
        removed_at=timezone.now(), merged_into=into, key=""
    )
    Category.everywhere.filter(merged_into=category.pk).update(merged_into=into)
    category.refresh_from_db()
    known = KnownCategory.objects.filter(category=category.pk).first()
    if known and into:
        other, _is_new = KnownCategory.objects.get_or_create(
            category=into, defaults={"classes": []}
        )
        other.classes = sorted({*other.classes, *known.classes})
        other.save(update_fields=["classes"])
    KnownCategory.objects.filter(category=category.pk).delete()
    DoubtfulLabel.objects.filter(suggested=category.pk).delete()  # nobody can follow it any more


def _begin(category: Category, *, by: User) -> bool:
    if _relabel_some(category, by=by) or _detach_some(category):
        finish_removal.using(key=categories.removal_key(category)).enqueue(
            category_key=category.pk, by_key=by.pk
        )
        return True
    _delete_unless_needed(category)
    return False


def _relabel_some(category: Category, *, by: User) -> bool:
    """Take the category off some samples; say whether there may be more."""
    held = ground_truth.samples_showing(category).order_by("pk").values_list("pk", flat=True)
    keys = list(held[:ROWS_AT_ONCE])
    into = category.merged_into
    reason = f"{category.name} → {into.name}" if into else ""
    take_off(Sample.objects.filter(pk__in=keys), [category], by=by, into=into, reason=reason)
    return len(keys) == ROWS_AT_ONCE


@transaction.atomic
def _detach_some(category: Category) -> bool:
    """Detach some feedback and predictions from a category; say whether there may be more.

    A user's suggestion follows a merge; of a deleted category it is kept as words, like a name that
    no category has yet. Predictions keep the names of their scores anyway.
    """
    into = category.merged_into
    follow = {"category": into} if into else {"category": None, "suggestion": category.name}
    changes: list[tuple[QuerySet, dict[str, Any]]] = [
        (Feedback.objects.filter(category=category.pk), follow)
    ]
    if into or not _is_referenced(category):
        changes += [
            (Prediction.objects.filter(top=category.pk), {"top": into}),
            (ShadowPrediction.objects.filter(top=category.pk), {"top": into}),
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
    return any(each.filter(category=category.pk).exists() for each in rows)


def _delete_unless_needed(category: Category) -> None:
    # Models know a merged one by its id, so that what they answer counts for the other
    if not category.merged_into and not _is_referenced(category):
        # A reviewer may have chosen the category just now: then it stays, out of sight
        with suppress(ProtectedError), transaction.atomic():
            category.delete()
