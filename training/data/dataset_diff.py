"""How two data set versions differ: counted in SQL and listed page by page, however many items."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from common.pagination import keyset_page
from predictions.models import Sample
from training.models import AdditionalLabel, DatasetItem, DatasetVersion

PAGE = 60


class Change(StrEnum):
    """What became of a sample between two versions; relabelled and moved may both be true."""

    ADDED = "added"
    REMOVED = "removed"
    RELABELLED = "relabelled"
    MOVED = "moved"  # to another split, which only happens if the rule of the splits changes


@dataclass(frozen=True)
class DatasetDiff:
    """How many samples changed, and how."""

    added: int = 0
    removed: int = 0
    relabelled: int = 0
    moved: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.removed or self.relabelled or self.moved)


@dataclass(frozen=True)
class LabelPair:
    """A sample as two data set versions hold it; `None` and no labels where one does not."""

    sample: Sample
    before: tuple[str, ...]
    after: tuple[str, ...]
    split_before: str | None
    split_after: str | None

    @property
    def split(self) -> str:
        return self.split_after or self.split_before or ""

    @property
    def is_relabelled(self) -> bool:
        return bool(self.before and self.after) and set(self.before) != set(self.after)


@dataclass(frozen=True)
class LabelPairPage:
    """Some samples; `next_key` is what the next page begins after, or None on the last."""

    rows: Sequence[LabelPair]
    next_key: int | None


def count_changes(older: DatasetVersion, newer: DatasetVersion) -> DatasetDiff:
    return DatasetDiff(**{kind: changed_items(older, newer, kind).count() for kind in Change})


def changed_items(
    older: DatasetVersion, newer: DatasetVersion, kind: Change
) -> QuerySet[DatasetItem]:
    """Return the items with this change: those of `newer`, or of `older` if they were removed."""
    if kind is Change.REMOVED:
        kept = newer.items.filter(sample=OuterRef("sample"))
        return older.items.filter(~Exists(kept))
    before = older.items.filter(sample=OuterRef("sample"))
    if kind is Change.ADDED:
        return newer.items.filter(~Exists(before))
    if kind is Change.MOVED:
        return newer.items.filter(Exists(before.exclude(split=OuterRef("split"))))
    if not newer.project.multilabel:
        return newer.items.filter(Exists(before.exclude(category=OuterRef("category"))))
    return _with_other_labels(newer.items.all(), before)


def change_page(
    older: DatasetVersion, newer: DatasetVersion, kind: Change, *, after: int | None = None
) -> LabelPairPage:
    """Return the samples with this change that follow the sample `after`, or the first ones."""
    # Read along the unique index of (data set, sample)
    page = keyset_page(changed_items(older, newer, kind), after=after, size=PAGE, key="sample_id")
    rows = pair_labels(older, newer, [item.sample_id for item in page.rows])
    return LabelPairPage(rows, page.next_key)


def sample_page(
    older: DatasetVersion,
    newer: DatasetVersion,
    samples: Sequence[int],
    *,
    after: int | None = None,
) -> LabelPairPage:
    """Return those of some samples, whose ids ascend, that follow `after`, or the first ones."""
    following = [sample for sample in samples if after is None or sample > after]
    shown = following[:PAGE]
    next_key = shown[-1] if len(following) > PAGE else None
    return LabelPairPage(pair_labels(older, newer, shown), next_key)


def pair_labels(
    older: DatasetVersion, newer: DatasetVersion, samples: Collection[int]
) -> list[LabelPair]:
    """Return how the two versions label some samples, in their order: three queries."""
    items = (
        DatasetItem.objects.filter(dataset__in={older, newer}, sample__in=samples)
        .select_related("sample", "category")
        .prefetch_related("additional_labels__category")
    )
    held = {(item.dataset_id, item.sample_id): item for item in items}
    pairs = []
    for sample in samples:
        before, after = held.get((older.pk, sample)), held.get((newer.pk, sample))
        if either := after or before:
            pairs.append(
                LabelPair(
                    either.sample,
                    _names(before),
                    _names(after),
                    before.split if before else None,
                    after.split if after else None,
                )
            )
    return pairs


def changed_test_samples(older: DatasetVersion, newer: DatasetVersion) -> set[int]:
    """Return the ids of the test samples that were added, relabelled or moved there."""
    kinds = (Change.ADDED, Change.RELABELLED, Change.MOVED)
    return {
        sample
        for kind in kinds
        for sample in changed_items(older, newer, kind)
        .filter(split=DatasetItem.Split.TEST)
        .values_list("sample_id", flat=True)
        .iterator(5000)
    }


def _with_other_labels(
    items: QuerySet[DatasetItem], before: QuerySet[DatasetItem]
) -> QuerySet[DatasetItem]:
    """Return the items whose set of labels differs from that of the item `before` them."""
    # Equal sets are as large, and nothing of one is missing in the other. Which label stands on the
    # item itself only depends on the names of the categories
    labels_before = AdditionalLabel.objects.filter(item=OuterRef("before"))
    missing = AdditionalLabel.objects.filter(
        ~Q(category=OuterRef("category_before")),
        ~Exists(
            AdditionalLabel.objects.filter(
                item=OuterRef(OuterRef("before")), category=OuterRef("category")
            )
        ),
        item=OuterRef("pk"),
    )
    return items.annotate(
        before=Subquery(before.values("pk")[:1]),
        category_before=Subquery(before.values("category")[:1]),
        count=_count(AdditionalLabel.objects.filter(item=OuterRef("pk"))),
        count_before=_count(labels_before),
    ).filter(
        ~Q(count=F("count_before"))
        | Exists(missing)
        | (
            ~Q(category=F("category_before"))
            & ~Exists(labels_before.filter(category=OuterRef("category")))
        ),
        before__isnull=False,
    )


def _count(labels: QuerySet[AdditionalLabel]) -> Coalesce:
    counted = labels.order_by().values("item").annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def _names(item: DatasetItem | None) -> tuple[str, ...]:
    if item is None:
        return ()
    also = sorted(label.category.name for label in item.additional_labels.all())
    return (item.category.name, *also)
