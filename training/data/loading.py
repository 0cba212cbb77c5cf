"""A frozen data set as trainers see it: plain dataclasses, whose pictures are read when they are
needed.
"""

from collections.abc import Callable

from predictions.models import Sample
from training.data import datasets
from training.models import DatasetItem, DatasetVersion
from training.trainers.base import Example


def load_examples(dataset: DatasetVersion, *splits: str) -> list[Example]:
    """Return the samples of a data set, or of some of its splits, in the order of their digests."""
    return [example for _sample, example in load_examples_by_sample(dataset, *splits)]


def load_examples_by_sample(dataset: DatasetVersion, *splits: str) -> list[tuple[int, Example]]:
    """Return the same as `of`, each with the id of its sample."""
    items = dataset.items.select_related("sample", "category").order_by("sample__sha256")
    if splits:
        items = items.filter(split__in=splits)
    additional = datasets.additional_names(dataset)
    return [(item.sample_id, _example(item, additional.get(item.pk, ()))) for item in items]


def dataset_class_names(dataset: DatasetVersion) -> tuple[str, ...]:
    """Return the categories of a data set by their present names, sorted: the order of a new
    model's outputs.
    """
    return tuple(datasets.category_counts(dataset))


def _example(item: DatasetItem, additional: tuple[str, ...]) -> Example:
    sample = item.sample
    return Example(
        sample.sha256, item.category.name, item.split, picture_reader(sample), additional
    )


def picture_reader(sample: Sample) -> Callable[[], bytes] | None:
    """Return what reads the stored picture, or None where it was not kept."""
    return sample.read if sample.has_picture else None
