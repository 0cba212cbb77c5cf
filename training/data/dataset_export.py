"""Exporting samples with their labels in the formats of other tools, as a stream of bytes.

Whatever is exported can be imported again, here or elsewhere. Nothing but a few samples is in
memory, and nothing is kept on a disk but the labels, which follow the pictures in an archive.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from django.utils.translation import gettext as _

from common.errors import InvalidInput, Unavailable
from common.parallel import parallel_map
from common.progress import Progress, no_progress
from predictions.models import CaptureCondition, Project, Sample, SampleGroup
from review import decisions
from review.ground_truth import LABELLING_OUTCOMES
from review.models import AdditionalCategory
from training.data import datasets, formats
from training.data.formats.archives import ArchiveWriter
from training.data.formats.base import ExportedSample, ExportPlan
from training.data.groups import find_groups
from training.models import DatasetVersion

logger = logging.getLogger(__name__)

LEFT_OUT = "left_out.txt"
_AT_ONCE = 200  # samples whose labels are asked for together
_READERS = 4  # threads that wait for the storage
_MOST_CONDITIONS = 50  # columns


@dataclass(frozen=True)
class ExportItem:
    """One sample to export, with the names of its categories and its split."""

    sample: Sample
    categories: tuple[str, ...]
    split: str


def export_dataset(
    dataset: DatasetVersion, alias: str, *, progress: Progress = no_progress
) -> Iterator[bytes]:
    """Return a data set version as a file in a format, piece by piece.

    Raises:
        InvalidInput: there is no such format for the project, or a library is missing.
    """
    return _stream(
        dataset.project, _items_of_dataset(dataset), alias, dataset.items.count(), progress
    )


def export_samples(
    project: Project,
    samples: Iterable[Sample],
    alias: str,
    *,
    count: int = 0,
    progress: Progress = no_progress,
) -> Iterator[bytes]:
    """Return samples of a project as a file in a format, piece by piece.

    Their labels are those in force now, and their splits those of a data set frozen now. Samples
    without a label are exported without one, as far as the format can say so.

    Raises as `export_dataset` does.
    """
    return _stream(project, _items_of_samples(project, samples), alias, count, progress)


def file_name(project: Project, alias: str, number: int | None = None) -> str:
    """Return what an exported file is called."""
    what = f"data-set-{number}" if number else "samples"
    return f"{project.slug}-{what}-{alias}.{formats.FORMATS[alias].suffix}"


def _stream(
    project: Project, items: Iterator[ExportItem], alias: str, count: int, progress: Progress
) -> Iterator[bytes]:
    format_ = formats.format_named(alias, project.modality)
    if project.multilabel and not format_.takes_several:
        sentence = _("%(format)s holds one category per sample, and this project has several.")
        raise InvalidInput(sentence % {"format": format_.title})
    names = project.categories.order_by("pk").values_list("name", flat=True)
    conditions = CaptureCondition.objects.filter(sample__project=project)
    told = conditions.order_by("name").values_list("name", flat=True).distinct()
    plan = ExportPlan(project.modality, tuple(names), tuple(told[:_MOST_CONDITIONS]))
    out = _Pipe()
    # Made before the first byte is asked for, so that a missing library is told in time
    writer = format_.writer(out, plan)  # type: ignore[arg-type]

    def write() -> Iterator[bytes]:
        left_out: list[str] = []
        done = 0
        with closing(parallel_map(_read, _with_sayings(items), threads=_READERS)) as found:
            for sample, exported in found:
                done += 1
                progress(done, max(done, count), _("Exporting"))
                if exported is None:
                    left_out.append(f"{sample.sha256}\n")
                    continue
                writer.add(exported)
                if chunk := out.take():
                    yield chunk
        if left_out:
            logger.warning("%d samples were left out of an export: no content", len(left_out))
            if isinstance(writer, ArchiveWriter):
                writer.put_text(LEFT_OUT, (line.encode() for line in left_out))
        writer.close()
        yield out.take()

    return write()


def _items_of_dataset(dataset: DatasetVersion) -> Iterator[ExportItem]:
    # In the order in which they came: the earliest of a group decides about its split
    items = (
        dataset.items.select_related("sample", "category")
        .prefetch_related("additional_labels__category")
        .order_by("sample_id")
    )
    for item in items.iterator(_AT_ONCE):
        more = (each.category.name for each in item.additional_labels.all())
        yield ExportItem(item.sample, (item.category.name, *more), item.split)


def _items_of_samples(project: Project, samples: Iterable[Sample]) -> Iterator[ExportItem]:
    groups = find_groups(project)
    waiting = iter(samples)
    while batch := list(islice(waiting, _AT_ONCE)):
        latest = decisions.latest_decisions(batch)
        more: dict[int, list[str]] = defaultdict(list)
        if project.multilabel:
            rows = AdditionalCategory.objects.filter(decision__in=latest.values())
            for key, name in rows.order_by("category__name").values_list(
                "decision_id", "category__name"
            ):
                more[key].append(name)
        for sample in batch:
            decision = latest.get(sample.pk)
            categories: tuple[str, ...] = ()
            if decision and decision.category and decision.outcome in LABELLING_OUTCOMES:
                categories = (decision.category.name, *more[decision.pk])
            split = datasets.split_of(groups.deciding_digest(sample.pk, sample.sha256))
            yield ExportItem(sample, categories, split)


def _with_sayings(
    items: Iterator[ExportItem],
) -> Iterator[tuple[ExportItem, str, dict[str, str]]]:
    """Yield each item with its group and its capture conditions; the group that came first."""
    while batch := list(islice(items, _AT_ONCE)):
        keys = [item.sample.pk for item in batch]
        groups: dict[int, str] = {}
        rows = SampleGroup.objects.filter(sample__in=keys).order_by("pk")
        for key, name in rows.values_list("sample_id", "name"):
            groups.setdefault(key, name)
        conditions: dict[int, dict[str, str]] = defaultdict(dict)
        told = CaptureCondition.objects.filter(sample__in=keys).order_by("name")
        for key, name, value in told.values_list("sample_id", "name", "value"):
            conditions[key][name] = value
        for item in batch:
            yield item, groups.get(item.sample.pk, ""), conditions[item.sample.pk]


def _read(
    found: tuple[ExportItem, str, dict[str, str]],
) -> tuple[Sample, ExportedSample | None]:
    """Return a sample with its content, None if there is none any more; it asks no database."""
    item, group, conditions = found
    sample = item.sample
    if not sample.has_picture:
        return sample, None
    try:
        data = sample.read()
    except FileNotFoundError:
        return sample, None
    except Exception as error:  # every storage raises its SDK's own errors
        raise Unavailable(
            _("The picture storage does not answer. Please try again in a moment.")
        ) from error
    return sample, ExportedSample(
        sample.sha256,
        sample.media_type or "image/jpeg",
        data,
        (sample.width, sample.height),
        item.categories,
        item.split,
        group,
        conditions,
    )


class _Pipe:
    """What a writer writes, until it is taken on; it cannot be sought in.

    No file of `io`: those close themselves when an export is given up, and what closes an archive
    that nobody has read to its end would fail then.
    """

    closed = False

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._length = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        chunk = bytes(data)
        self._chunks.append(chunk)
        self._length += len(chunk)
        return len(chunk)

    def tell(self) -> int:
        return self._length

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def take(self) -> bytes:
        taken = b"".join(self._chunks)
        self._chunks.clear()
        return taken
