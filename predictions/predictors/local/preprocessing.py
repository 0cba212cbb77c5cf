"""From an upright picture to the pixels that a model sees: the same way to train and to serve.

There are two ways: the centred square, and the whole picture, for inspection. A model learned in
another way gives wrong answers without any error, so every bundle and every cached feature vector
carries the digest of its own. Whoever changes what happens here must change the definition, and
with it the digest: old models are then refused instead of misled, and vectors are computed anew.

A JPEG comes scaled down by its decoder, by 2, 4 or 8, as long as it has `least_side` pixels left:
that takes a third of the time of a telephone's photo. It is a detail of decoding, no other
definition: `python -m bench.decoding` measures that it hardly changes an answer. Training reads
pictures in the same way as serving does.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from common.media import images


@dataclass(frozen=True)
class Preparation:
    """One way to prepare a picture. `whole`: all of it, not the centred square."""

    name: str
    definition: str
    whole: bool = False

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.name}: {self.definition}".encode()).hexdigest()[:16]


CENTRED = Preparation(
    "centre-crop-bilinear",
    "upright RGB, alpha and profile already resolved; centred square, side = floor(min(width, "
    "height) * crop), "
    "left = (width - side) // 2, top = (height - side) // 2; Pillow resize with "
    "Resampling.BILINEAR (antialiased) to "
    "(size, size); uint8, height x width x channel, 0 to 255",
)
WHOLE_PICTURE = Preparation(
    "whole-picture-bilinear",
    "upright RGB, alpha and profile already resolved; centred part, its sides = floor(width * "
    "crop), floor(height * crop), left and top as half of the rest, rounded down; Pillow resize "
    "with Resampling.BILINEAR (antialiased) to (size, size), whatever its proportions; uint8, "
    "height x width x channel, 0 to 255",
    whole=True,
)
PREPARATIONS = {each.name: each for each in (CENTRED, WHOLE_PICTURE)}
NAME, DEFINITION, DIGEST = CENTRED.name, CENTRED.definition, CENTRED.digest

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


def preparation_of(manifest: Mapping[str, Any]) -> Preparation | None:
    """Return how pictures are prepared for a model; None if it is no way of this version."""
    facts = manifest.get("preprocessing", {})
    found = PREPARATIONS.get(facts.get("name", ""))
    return found if found and found.digest == facts.get("digest") else None


def crop_and_scale(
    image: Image.Image, size: int, *, crop: float = 1.0, preparation: Preparation = CENTRED
) -> np.ndarray:
    """Return the centre of a picture as uint8 pixels, shape (size, size, 3).

    Args:
        image: upright; converted to RGB if it is not.
        size: side of the result in pixels.
        crop: side of the centred square, as a fraction of the shorter side; in (0, 1]. Of the
            whole picture, both sides as fractions of their own.
    """
    left, top, right, bottom = seen_part(image.size, crop=crop, preparation=preparation)
    part = image if image.size == (right, bottom) else image.crop((left, top, right, bottom))
    if part.mode != "RGB":
        part = part.convert("RGB")
    return np.asarray(part.resize((size, size), Image.Resampling.BILINEAR), dtype=np.uint8)


def seen_part(
    size: tuple[int, int], *, crop: float = 1.0, preparation: Preparation = CENTRED
) -> tuple[int, int, int, int]:
    """Return what a model sees of a picture of this width and height: left, top, right, bottom."""
    width, height = size
    if not preparation.whole:
        width = height = min(size)
    width, height = max(1, int(width * crop)), max(1, int(height * crop))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def read_pixels(data: bytes, size: int, *, preparation: Preparation = CENTRED) -> np.ndarray:
    """Return what a model sees of a stored picture. Raises OSError if the bytes are damaged."""
    image = images.decode_stored(data, least_side=min_side_for(size))
    return crop_and_scale(image, size, preparation=preparation)


def crop_batch(
    upright: Sequence[Image.Image],
    size: int,
    *,
    crops: Sequence[float] = WHOLE,
    preparation: Preparation = CENTRED,
) -> np.ndarray:
    """Return all crops of all pictures, shape (pictures * crops, size, size, 3).

    The crops of one picture follow each other.
    """
    pixels = np.empty((len(upright) * len(crops), size, size, 3), dtype=np.uint8)
    for place, (image, crop) in enumerate((image, crop) for image in upright for crop in crops):
        pixels[place] = crop_and_scale(image, size, crop=crop, preparation=preparation)
    return pixels
