"""From an upright picture to the pixels that a model sees: one definition, to train and to serve.

A model learned with another definition gives wrong answers without any error, so every bundle and
every cached feature vector carries `DIGEST`. Whoever changes what happens here must change
`DEFINITION`, and with it the digest: old models are then refused instead of misled, and vectors are
computed anew.

A JPEG comes scaled down by its decoder, by 2, 4 or 8, as long as it has `least_side` pixels left:
that takes a third of the time of a telephone's photo. It is a detail of decoding, no other
definition: `python -m bench.decoding` measures that it hardly changes an answer. Training reads
pictures in the same way as serving does.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from common.media import images

NAME = "centre-crop-bilinear"
DEFINITION = (
    "upright RGB, alpha and profile already resolved; centred square, side = floor(min(width, "
    "height) * crop), "
    "left = (width - side) // 2, top = (height - side) // 2; Pillow resize with "
    "Resampling.BILINEAR (antialiased) to "
    "(size, size); uint8, height x width x channel, 0 to 255"
)
DIGEST = hashlib.sha256(f"{NAME}: {DEFINITION}".encode()).hexdigest()[:16]

WHOLE = (1.0,)
CROPS = (1.0, 0.8, 0.65)  # test-time augmentation: near things in the middle count thrice
SPARE = 2.0  # what is scaled down by a decoder keeps so many pixels for each that the model sees


def crops_of(augment: bool) -> tuple[float, ...]:
    """Return the centre crops to average, as shares of the shorter side."""
    return CROPS if augment else WHOLE


def min_side_for(size: int, *, crops: Sequence[float] = WHOLE) -> int:
    """Return to how many pixels of its shorter side a picture may be scaled down before.

    Args:
        size: side of the model's input in pixels.
    """
    return math.ceil(SPARE * size / min(crops))


def crop_and_scale(image: Image.Image, size: int, *, crop: float = 1.0) -> np.ndarray:
    """Return the centre of a picture as uint8 pixels, shape (size, size, 3).

    Args:
        image: upright; converted to RGB if it is not.
        size: side of the result in pixels.
        crop: side of the centred square, as a fraction of the shorter side; in (0, 1].
    """
    width, height = image.size
    side = max(1, int(min(width, height) * crop))
    left, top = (width - side) // 2, (height - side) // 2
    square = (
        image
        if (width, height) == (side, side)
        else image.crop((left, top, left + side, top + side))
    )
    if square.mode != "RGB":
        square = square.convert("RGB")
    return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR), dtype=np.uint8)


def read_pixels(data: bytes, size: int) -> np.ndarray:
    """Return what a model sees of a stored picture. Raises OSError if the bytes are damaged."""
    return crop_and_scale(images.decode_stored(data, least_side=min_side_for(size)), size)


def crop_batch(
    upright: Sequence[Image.Image], size: int, *, crops: Sequence[float] = WHOLE
) -> np.ndarray:
    """Return all crops of all pictures, shape (pictures * crops, size, size, 3).

    The crops of one picture follow each other.
    """
    pixels = np.empty((len(upright) * len(crops), size, size, 3), dtype=np.uint8)
    for place, (image, crop) in enumerate((image, crop) for image in upright for crop in crops):
        pixels[place] = crop_and_scale(image, size, crop=crop)
    return pixels
