"""The pages of the gallery: by key, the newest sample first, each at a bounded cost.

A page looks through a window of `WINDOW` samples at most, along one index. Where few of them fit,
it may end before it is full, and says where the next one goes on; so a rare category among a
million samples costs several quick pages instead of one slow one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from classifr.gallery.filters import (
    GalleryFilters,
    is_named,
    matching_samples,
    newest_answers,
    newest_dataset,
)
from common.media import texts
from predictions.models import Prediction, Project, Sample
from review import decisions
from review.models import Decision
from training.models import DatasetItem

PAGE = 60
WINDOW = 50_000  # samples that are looked through for a page
TEXTS_READ = 200  # for a page, where words are looked for in texts
FEW = 100  # counted beside a saved view
COUNT_WINDOW = 100_000  # samples that are looked through for a count


@dataclass(frozen=True)
class GalleryPage:
    """Some samples; `next_key` is what the next page begins after, or None on the last."""

    samples: Sequence[Sample]
    next_key: int | None


@dataclass(frozen=True)
class Tile:
    """A sample with what is decided about it, what the model said, and the part that it plays."""

    sample: Sample
    decision: Decision | None  # None where nothing is decided
    answer: Prediction | None
    is_right: bool | None
    split: str = ""


@dataclass(frozen=True)
class Count:
    """How many samples fit; `is_more`: at least so many."""

    number: int
    is_more: bool


def find_page(wanted: GalleryFilters, *, after: int | None = None, size: int = PAGE) -> GalleryPage:
    """Return the samples that follow the key `after`, or the first ones."""
    rows, floor = _window(matching_samples(wanted), wanted.project, after, WINDOW)
    rows = rows.select_related("project").order_by("-pk")
    if wanted.reads_texts:
        return _page_of_texts(rows, wanted, floor, size)
    found = list(rows[: size + 1])
    if len(found) > size:
        return GalleryPage(found[:size], found[size - 1].pk)
    return GalleryPage(found, floor)


def all_pages(wanted: GalleryFilters, *, size: int = PAGE) -> Iterator[Sequence[Sample]]:
    """Yield every sample that fits, a page at a time."""
    after = None
    while True:
        page = find_page(wanted, after=after, size=size)
        if page.samples:
            yield page.samples
        after = page.next_key
        if after is None:
            return


def count_samples(wanted: GalleryFilters) -> Count | None:
    """Return how many samples fit; None where all of their contents would have to be read."""
    if wanted.reads_texts:
        return None
    rows, floor = _window(matching_samples(wanted), wanted.project, None, COUNT_WINDOW)
    return Count(rows.count(), is_more=floor is not None)


def count_few(wanted: GalleryFilters) -> Count:
    """Return how many of the newest samples fit, up to a hundred: as quick as a page."""
    rows, floor = _window(matching_samples(wanted), wanted.project, None, WINDOW)
    number = len(rows.order_by().values_list("pk", flat=True)[: FEW + 1])
    return Count(min(number, FEW), is_more=number > FEW or floor is not None)


def count_all(project: Project) -> Count:
    """Return how many samples a project has, as far as they are shown."""
    return count_samples(GalleryFilters(project)) or Count(0, is_more=True)


def with_facts(samples: Sequence[Sample], wanted: GalleryFilters) -> list[Tile]:
    """Return the samples with what a tile says of them, in four queries."""
    keys = [sample.pk for sample in samples]
    found = decisions.latest_decisions(samples)
    answers = {
        each.sample_id: each
        for each in newest_answers(wanted.version)
        .filter(sample__in=keys)
        .select_related("top", "model_version")
        .defer("scores", "model_version__manifest", "model_version__class_names")
    }
    dataset = newest_dataset(wanted.project)
    items = DatasetItem.objects.filter(dataset=dataset, sample__in=keys) if dataset else ()
    splits = {item.sample_id: item.split for item in items}
    also = _additional(wanted.project, found)
    return [
        tile(sample, found.get(sample.pk), answers.get(sample.pk), also, splits.get(sample.pk, ""))
        for sample in samples
    ]


def tile(
    sample: Sample,
    decision: Decision | None,
    answer: Prediction | None,
    also: dict[int, set[int]],
    split: str,
) -> Tile:
    if decision and decision.outcome == Decision.Outcome.REOPENED:
        decision = None
    is_right = None
    if decision and decision.category_id and answer:
        truths = {decision.category_id} | also.get(decision.pk, set())
        is_right = answer.top_id in truths
    return Tile(sample, decision, answer, is_right, split)


def _additional(project: Project, found: dict[int, Decision]) -> dict[int, set[int]]:
    """Return the additional categories of decisions, by the decision's key."""
    also: dict[int, set[int]] = {}
    if project.multilabel:
        keys = [decision.pk for decision in found.values()]
        rows = Decision.objects.filter(pk__in=keys, additional_categories__isnull=False)
        for decision, category in rows.values_list("pk", "additional_categories__category"):
            also.setdefault(decision, set()).add(category)
    return also


def _window(
    rows: QuerySet[Sample], project: Project, after: int | None, size: int
) -> tuple[QuerySet[Sample], int | None]:
    """Keep the next samples to look through; return them and the key that the rest follows."""
    walked = Sample.objects.filter(project=project)
    if after is not None:
        walked, rows = walked.filter(pk__lt=after), rows.filter(pk__lt=after)
    last = list(walked.order_by("-pk").values_list("pk", flat=True)[size - 1 : size + 1])
    # One more than the window tells whether anything is left
    return (rows.filter(pk__gte=last[0]), last[0]) if len(last) == 2 else (rows, None)


def _page_of_texts(
    rows: QuerySet[Sample], wanted: GalleryFilters, floor: int | None, size: int
) -> GalleryPage:
    found: list[Sample] = []
    candidates = list(rows.annotate(is_named=is_named(wanted))[: TEXTS_READ + 1])
    for sample in candidates[:TEXTS_READ]:
        if sample.is_named or _says(sample, wanted.q):
            found.append(sample)
            if len(found) == size:
                return GalleryPage(found, sample.pk)
    if len(candidates) > TEXTS_READ:
        return GalleryPage(found, candidates[TEXTS_READ - 1].pk)
    return GalleryPage(found, floor)


def _says(sample: Sample, words: str) -> bool:
    if not sample.has_picture:
        return False
    try:
        text = texts.decode_stored(sample.read())
    except Exception:  # every storage raises its SDK's own errors; what cannot be read says nothing
        return False
    return words.casefold() in text.casefold()
