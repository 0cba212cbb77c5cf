"""A frozen data set as trainers see it: plain dataclasses, whose pictures are read when they are needed."""

from collections.abc import Callable

from predictions.models import Sample
from training.data import datasets
from training.models import DatasetItem, DatasetVersion
from training.trainers.base import Example


def of(dataset: DatasetVersion, *splits: str) -> list[Example]:
    """Return the samples of a data set, or of some of its splits, in the order of their digests."""
    return [example for _sample, example in with_samples(dataset, *splits)]


def with_samples(dataset: DatasetVersion, *splits: str) -> list[tuple[int, Example]]:
    """Return the same as `of`, each with the id of its sample."""
    items = dataset.items.select_related("sample", "category").order_by("sample__sha256")
    if splits:
        items = items.filter(split__in=splits)
    further = datasets.further_names(dataset)
    return [(item.sample_id, _example(item, further.get(item.pk, ()))) for item in items]


def class_names(dataset: DatasetVersion) -> tuple[str, ...]:
    """Return the categories of a data set by their present names, sorted: the order of a new model's outputs."""
    return tuple(datasets.counts(dataset))


def _example(item: DatasetItem, further: tuple[str, ...]) -> Example:
    sample = item.sample
    return Example(sample.sha256, item.category.name, item.split, reader(sample), further)


def reader(sample: Sample) -> Callable[[], bytes] | None:
    """Return what reads the stored picture, or None where it was not kept."""
    return sample.read if sample.has_picture else None
