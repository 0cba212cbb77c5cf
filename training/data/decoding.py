"""Stored pictures as a network sees them, read and decoded on every core, and as a service is sent
them.
"""

import logging
from collections.abc import Callable, Generator, Mapping

import numpy as np

from common.errors import DomainError
from common.media import images
from common.media.images import Picture
from common.parallel import parallel_map
from common.storages import StorageUnavailable
from predictions.predictors.local import preprocessing

logger = logging.getLogger(__name__)

PictureReader = Callable[[], bytes]
UNREADABLE = (OSError, DomainError)  # what reading one stored picture may raise; the others go on


def pixels(
    pictures: Mapping[str, PictureReader], size: int, *, ahead: int | None = None
) -> Generator[tuple[str, np.ndarray | str], None, None]:
    """Yield each sample with its pixels, as `preprocessing.crop_and_scale`, or with why it cannot
    be read; in their order.

    Args:
        ahead: how many are begun before their turn, as `map_ahead`.
    """

    def decoded(sample: str) -> tuple[str, np.ndarray | str]:
        try:
            return sample, preprocessing.read_pixels(pictures[sample](), size)
        except UNREADABLE as error:
            return sample, str(error) or type(error).__name__

    return parallel_map(decoded, pictures, ahead=ahead)


def decode_full_picture(read: PictureReader, sample: str) -> Picture | None:
    """Return a stored picture with all its pixels; None if it is gone or damaged, which is logged.

    Raises:
        StorageUnavailable: the storage does not answer.
    """
    try:
        data = read()
        return Picture(images.decode_stored(data), data, "image/jpeg", sample)
    except StorageUnavailable:
        raise
    except UNREADABLE as error:
        logger.error("The stored picture of sample %s cannot be read: %s", sample, error)
        return None
