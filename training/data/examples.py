"""Examples as a trainer uses them: sorted into splits, their pixels, and whether there are
enough.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from django.utils.translation import gettext as _

from common.progress import Progress, no_progress
from training.data import decoding
from training.trainers.base import Example, TrainingFailed, TrainingTask

ArraySplit = tuple[np.ndarray, np.ndarray]


def check_categories(task: TrainingTask, examples: Sequence[Example]) -> None:
    """Raise TrainingFailed unless there are categories to tell apart, and something to learn each
    of them from.
    """
    if len(task.class_names) < 2:
        raise TrainingFailed(
            _("A model needs at least two categories to tell apart. Add another category.")
        )
    present = {
        name for example in examples if example.split == "train" for name in example.categories
    }
    if missing := [name for name in task.class_names if name not in present]:
        raise TrainingFailed(
            _(
                "These categories have no picture to learn from: %(names)s. Add pictures, or leave "
                "them out."
            )
            % {"names": ", ".join(missing)}
        )


def split_arrays(
    task: TrainingTask, examples: Sequence[Example], values: Mapping[str, np.ndarray], which: str
) -> ArraySplit:
    """Return the values and the labels of one split, in an order that depends on nothing but the
    samples.

    Labels are those of `likelihood`.
    """
    place = {name: index for index, name in enumerate(task.class_names)}
    chosen = sorted(
        (e for e in examples if e.split == which and e.category in place), key=lambda e: e.sha256
    )
    shape = next(iter(values.values())).shape
    dtype = next(iter(values.values())).dtype
    rows = np.stack([values[e.sha256] for e in chosen]) if chosen else np.empty((0, *shape), dtype)
    if task.multilabel:
        shown = [[name in e.categories for name in task.class_names] for e in chosen]
        return rows, np.array(shown, dtype=np.int64).reshape(len(chosen), len(place))
    return rows, np.array([place[e.category] for e in chosen], dtype=np.int64)


def load_pixels(
    examples: Sequence[Example], size: int, progress: Progress = no_progress
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the prepared pixels of the examples that have a picture, and why others could not be
    read.
    """
    found: dict[str, np.ndarray] = {}
    unread: dict[str, str] = {}
    pictures = {example.sha256: example.read for example in examples if example.read is not None}
    for done, (sample, decoded) in enumerate(decoding.pixels(pictures, size), start=1):
        progress(done, len(pictures), _("Reading the pictures"))
        if isinstance(decoded, str):
            unread[sample] = decoded
        else:
            found[sample] = decoded
    return found, unread


def evenly_spaced(examples: Sequence[Example], count: int) -> list[Example]:
    """Return at most so many examples that have a picture, spread evenly over all."""
    readable = sorted(
        (example for example in examples if example.read is not None), key=lambda e: e.sha256
    )
    return readable[:: max(1, -(-len(readable) // count))]


def examples_digest(examples: Sequence[Example]) -> str:
    """Return a digest of what was learned from: pictures, splits and labels."""
    lines = sorted(
        f"{one.sha256} {one.split} {name}" for one in examples for name in one.categories
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
