"""What a batch shows: how far it is, its answers page by page, and all of them as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Count, Prefetch, Q, QuerySet

from common.csv_lines import csv_lines
from common.numbers import natural_number
from common.pagination import KeysetPage, keyset_page
from predictions import batches
from predictions.models import Batch, BatchItem, Category, Feedback, Prediction

PAGE = 120
COLUMNS = (
    *("file", "answer", "probability", "abstained", "unfamiliar", "version"),
    *("verdict", "category", "refused", "prediction"),
)
ANSWERED = Q(prediction__isnull=False)
REFUSED = ~Q(error="")
UNFAMILIAR = Q(prediction__is_unfamiliar=True)
UNSURE = Q(prediction__abstained=True) & ~UNFAMILIAR


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is. `stopped` is the reason why no worker goes on with it, or empty."""

    total: int
    answered: int
    refused: int
    unfamiliar: int
    unsure: int
    stopped: str

    @property
    def done(self) -> int:
        return self.answered + self.refused

    @property
    def is_finished(self) -> bool:
        return self.done == self.total or bool(self.stopped)


def batch_progress(batch: Batch) -> BatchProgress:
    """Count the pictures of a batch, and say whether work on it goes on."""
    counts = batch.items.order_by().aggregate(
        total=Count("pk"),
        answered=Count("pk", filter=ANSWERED),
        refused=Count("pk", filter=REFUSED),
        unfamiliar=Count("pk", filter=UNFAMILIAR),
        unsure=Count("pk", filter=UNSURE),
    )
    is_complete = counts["answered"] + counts["refused"] == counts["total"]
    return BatchProgress(**counts, stopped="" if is_complete else batches.stopped_because(batch))


def answers_given(batch: Batch) -> list[tuple[Category, int]]:
    """Return the categories that were answered, each with how often, the most frequent first."""
    counted = (
        batch.items.order_by()
        .filter(prediction__top__isnull=False)
        .values_list("prediction__top")
        .annotate(count=Count("pk"))
        .order_by("-count", "prediction__top__name")
    )
    counts = dict(counted)
    found = Category.everywhere.in_bulk(counts)
    return [(found[key], count) for key, count in counts.items()]


def batch_items(batch: Batch) -> QuerySet[BatchItem]:
    """Return the items with their answers, and in `own_feedback` what was said to each."""
    own = Feedback.objects.filter(user=batch.user_id).select_related("category")
    answers = (
        Prediction.objects.select_related("top", "sample", "project", "model_version")
        .defer("model_version__manifest")
        .prefetch_related(Prefetch("feedback", queryset=own, to_attr="own_feedback"))
    )
    return batch.items.prefetch_related(Prefetch("prediction", queryset=answers))


def batch_page(batch: Batch, *, only: str = "", after: str = "") -> KeysetPage[BatchItem]:
    """Return one page of a batch in the order in which the pictures came.

    Args:
        only: "refused", "unfamiliar", "unsure", or the key of a category that was answered; what
            is none of these narrows nothing.
        after: the `next_key` of the page before.
    """
    items = batch_items(batch)
    conditions = {"refused": REFUSED, "unfamiliar": UNFAMILIAR, "unsure": UNSURE}
    if only in conditions:
        items = items.filter(conditions[only])
    elif category := natural_number(only):
        items = items.filter(prediction__top=category)
    return keyset_page(items, after=natural_number(after) or None, size=PAGE, key="pk")


def answers_csv(batch: Batch) -> Iterator[str]:
    """Yield every picture of a batch with its answer as a line of CSV, after the column names."""
    return csv_lines(COLUMNS, map(_row, batch_items(batch).iterator(chunk_size=500)))


def _row(item: BatchItem) -> Sequence[object]:
    prediction = item.prediction
    if prediction is None:
        return (item.shown_name, *[""] * 7, item.error, "")
    given = next(iter(prediction.own_feedback), None)  # type: ignore[attr-defined]
    named = (given.category.name if given.category else given.suggestion) if given else ""
    return (
        item.shown_name,
        prediction.top.name if prediction.top else "",
        f"{prediction.confidence:.4f}",
        prediction.abstained,
        prediction.is_unfamiliar,
        prediction.model_version.number,
        given.verdict if given else "",
        named,
        "",
        prediction.uuid,
    )
