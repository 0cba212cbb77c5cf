"""Examples as trainers see them: labels, split, and a picture that is decoded on every core.

Nothing here knows a row of the database or what a trainer is.
"""

import hashlib
import logging
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from django.utils.translation import gettext as _

from common.errors import DomainError
from common.media import images
from common.media.images import Picture
from common.parallel import parallel_map
from common.progress import Progress, no_progress
from common.storages import StorageUnavailable
from predictions.predictors.local import preprocessing
from predictions.predictors.local.preprocessing import Preparation
from training.errors import TrainingFailed

logger = logging.getLogger(__name__)

ArraySplit = tuple[np.ndarray, np.ndarray]
PictureReader = Callable[[], bytes]
UNREADABLE = (OSError, DomainError)  # what reading one stored picture may raise; the others go on


@dataclass(frozen=True)
class Example:
    """One sample with its category and, if several can be, the `additional` ones it shows.

    `read` gives the stored picture, for `images.decode_stored` or `preprocessing.read_pixels`; it
    is None where the picture was not kept, and then only a trainer that has the sample's feature
    vector can use it.
    """

    sha256: str
    category: str
    split: str  # train, validation or test
    read: PictureReader | None
    additional: tuple[str, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """Return every category that the sample shows."""
        return (self.category, *self.additional)


def check_categories(
    class_names: Sequence[str], examples: Sequence[Example], *, known: Container[str] = ()
) -> None:
    """Raise TrainingFailed unless there are two categories, each with something to learn from.

    Those that are `known` beforehand need nothing.
    """
    if len(class_names) < 2:
        raise TrainingFailed(
            _("A model needs at least two categories to tell apart. Add another category.")
        )
    present = {
        name for example in examples if example.split == "train" for name in example.categories
    }
    present.update(name for name in class_names if name in known)
    if missing := [name for name in class_names if name not in present]:
        raise TrainingFailed(
            _(
                "These categories have no picture to learn from: %(names)s. Add pictures, or leave "
                "them out."
            )
            % {"names": ", ".join(missing)}
        )


def split_arrays(
    examples: Sequence[Example],
    values: Mapping[str, np.ndarray],
    which: str,
    *,
    class_names: Sequence[str],
    multilabel: bool,
) -> ArraySplit:
    """Return the values and the labels of one split, in an order that only the samples decide.

    Labels are class numbers, shape (N,), or with `multilabel` 0 and 1 per class, shape (N, K).
    """
    place = {name: index for index, name in enumerate(class_names)}
    chosen = sorted(
        (e for e in examples if e.split == which and e.category in place), key=lambda e: e.sha256
    )
    shape = next(iter(values.values())).shape
    dtype = next(iter(values.values())).dtype
    # A split may be empty, but its arrays have the shape of the others
    rows = np.stack([values[e.sha256] for e in chosen]) if chosen else np.empty((0, *shape), dtype)
    if multilabel:
        shown = [[name in e.categories for name in class_names] for e in chosen]
        return rows, np.array(shown, dtype=np.int64).reshape(len(chosen), len(place))
    return rows, np.array([place[e.category] for e in chosen], dtype=np.int64)


def load_pixels(
    examples: Sequence[Example],
    size: int,
    progress: Progress = no_progress,
    *,
    preparation: Preparation = preprocessing.CENTRED,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the prepared pixels of examples by sample, and why others could not be read."""
    pixels: dict[str, np.ndarray] = {}
    unread: dict[str, str] = {}
    pictures = {example.sha256: example.read for example in examples if example.read is not None}
    prepared = iter_pixels(pictures, size, preparation=preparation)
    for done, (sample, decoded) in enumerate(prepared, start=1):
        progress(done, len(pictures), _("Reading the pictures"))
        if isinstance(decoded, str):
            unread[sample] = decoded
        else:
            pixels[sample] = decoded
    return pixels, unread


def evenly_spaced(examples: Sequence[Example], count: int) -> list[Example]:
    """Return at most so many examples that have a picture, spread evenly over all."""
    readable = sorted(
        (example for example in examples if example.read is not None), key=lambda e: e.sha256
    )
    # Rounded up, so that there are never more than `count`
    return readable[:: max(1, -(-len(readable) // count))]


def examples_digest(examples: Sequence[Example]) -> str:
    """Return a digest of what was learned from: pictures, splits and labels."""
    lines = sorted(
        f"{one.sha256} {one.split} {name}" for one in examples for name in one.categories
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def iter_pixels(
    pictures: Mapping[str, PictureReader],
    size: int,
    *,
    ahead: int | None = None,
    preparation: Preparation = preprocessing.CENTRED,
) -> Generator[tuple[str, np.ndarray | str], None, None]:
    """Yield each sample, in order, with its prepared pixels or with why it cannot be read.

    Args:
        ahead: how many are begun before their turn, as `parallel_map`.
    """

    def decoded(sample: str) -> tuple[str, np.ndarray | str]:
        try:
            data = pictures[sample]()
            return sample, preprocessing.read_pixels(data, size, preparation=preparation)
        except UNREADABLE as error:
            # Some OSErrors have no text
            return sample, str(error) or type(error).__name__

    return parallel_map(decoded, pictures, ahead=ahead)


def decode_full_picture(read: PictureReader, sample: str) -> Picture | None:
    """Return a stored picture with all its pixels; None if it is gone or damaged, which is logged.

    Raises:
        StorageUnavailable: the storage does not answer.
    """
    try:
        data = read()
        return Picture(images.decode_stored(data), data, images.stored_media_type(data), sample)
    except StorageUnavailable:
        # An OSError as well, but nothing is wrong with this picture: later it may be read
        raise
    except UNREADABLE as error:
        logger.error("The stored picture of sample %s cannot be read: %s", sample, error)
        return None
