"""Pictures that a network itself learns from, augmented: mirrored, cropped, recoloured."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from django.utils.translation import gettext as _
from PIL import Image

from common.progress import Progress, no_progress
from training.data.examples import Example, iter_pixels

BATCH = 16
SMALLEST_CROP = 0.7  # of the picture's area
COLOUR = 0.2  # brightness, contrast and saturation change by at most this share

if TYPE_CHECKING:
    import keras

Labelled = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class PicturePixels:
    """Prepared pixels of the examples that have a picture, uint8 (N, S, S, 3), by split.

    They lie in a temporary file, not in memory: 10,000 pictures of 224 pixels are 1.5 GB.
    """

    examples: Sequence[Example]
    pixels: np.ndarray
    unread: Mapping[str, str]

    def split(self, which: str, class_names: Sequence[str]) -> Labelled:
        """Return the pixels, which are not copied, and the labels of one split."""
        rows = [row for row, example in enumerate(self.examples) if example.split == which]
        labels = [class_names.index(self.examples[row].category) for row in rows]
        return self.pixels[rows[0] : rows[-1] + 1] if rows else self.pixels[:0], np.array(
            labels, dtype=np.int64
        )


def load_picture_pixels(
    examples: Sequence[Example], size: int, progress: Progress = no_progress
) -> PicturePixels:
    """Return the prepared pixels of the examples whose picture is kept and can be read."""
    # By split, so that each split is one slice of the file; then by digest, so that the order of
    # batches does not depend on that of the examples
    pictured = sorted(
        (each for each in examples if each.read is not None),
        key=lambda each: (each.split, each.sha256),
    )
    reads = {each.sha256: each.read for each in pictured if each.read is not None}
    # The file is gone at once; its space on the disk lives as long as the mapping
    with tempfile.TemporaryFile() as file:
        # At least one row, as an empty file cannot be mapped
        pixels = np.memmap(file, np.uint8, "w+", shape=(max(len(pictured), 1), size, size, 3))
    readable: list[Example] = []
    unread: dict[str, str] = {}
    for example, (sample, decoded) in zip(pictured, iter_pixels(reads, size), strict=True):
        if isinstance(decoded, str):
            unread[sample] = decoded
        else:
            pixels[len(readable)] = decoded
            readable.append(example)
        progress(len(readable) + len(unread), len(pictured), _("Reading the pictures"))
    return PicturePixels(readable, pixels[: len(readable)], unread)


def augment_batch(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a batch, float32: each picture cropped, scaled back, perhaps mirrored, recoloured."""
    result = np.empty(pixels.shape, np.float32)
    size = pixels.shape[1]
    for place, picture in enumerate(pixels):
        side = size * float(np.sqrt(rng.uniform(SMALLEST_CROP, 1.0)))
        left, top = rng.uniform(0, size - side, 2)
        # Pillow takes a box of fractions, so a crop need not snap to whole pixels
        cropped = Image.fromarray(picture).resize(
            (size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
        )
        values = np.asarray(cropped, np.float32)
        if rng.random() < 0.5:
            values = values[:, ::-1]

        brightness, contrast, saturation = rng.uniform(1 - COLOUR, 1 + COLOUR, 3)
        values = values * brightness
        # Contrast spreads around the picture's mean, saturation around each pixel's grey
        mean = values.mean()
        values = (values - mean) * contrast + mean
        grey = values.mean(axis=2, keepdims=True)
        result[place] = ((values - grey) * saturation + grey).clip(0, 255)
    return result


def shuffled_batches(train: Labelled, weights: np.ndarray, seed: int) -> "keras.utils.PyDataset":
    """Return shuffled, augmented batches; each depends on seed, epoch and place only."""
    import keras

    pixels, labels = train

    class Batches(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__(workers=1)
            self.number = 0

        def __len__(self) -> int:
            # Rounded up: the last batch may be a small one
            return -(-len(labels) // BATCH)

        def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            # Drawn for each call and kept nowhere: Keras may ask for a batch twice, or ahead
            order = np.random.default_rng([seed, self.number]).permutation(len(labels))
            rows = order[place * BATCH : (place + 1) * BATCH]
            rng = np.random.default_rng([seed, self.number, place])
            return augment_batch(pixels[rows], rng), labels[rows], weights[rows]

        def on_epoch_end(self) -> None:
            self.number += 1

    return Batches()


def plain_batches(labelled: Labelled) -> "keras.utils.PyDataset":
    """Return the pictures as they are, in batches."""
    import keras

    pixels, labels = labelled

    class Plain(keras.utils.PyDataset):
        def __len__(self) -> int:
            return -(-len(labels) // BATCH)

        def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
            rows = slice(place * BATCH, (place + 1) * BATCH)
            return pixels[rows].astype(np.float32), labels[rows]

    return Plain(workers=1)
