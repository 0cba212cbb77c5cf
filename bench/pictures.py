"""Pictures for measurements, painted: no photo is needed, and every run measures the same ones."""

import io
import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image


def photo_like(width: int = 1280, height: int = 960, *, seed: int = 0) -> bytes:
    """Return a JPEG with the size and the detail of a phone's photo: about 200 KB at 1280 x 960."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
        (width, height), 3
    )
    grain = random.normal(0, 9, (height, width, 1))
    pixels = np.clip(np.asarray(coarse, dtype=np.float32) + grain, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=68)
    return out.getvalue()


def never_twice(jpeg: bytes, *, start: int = 0) -> Iterator[bytes]:
    """Give the same picture for ever in bytes that differ, by a comment: so each one is stored as a
    new sample.
    """
    for number in itertools.count(start):
        comment = struct.pack(">Q", number)
        yield jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + jpeg[2:]


def paint_folder(
    folder: Path, categories: int, each: int, *, first: int = 0, size: int = 256
) -> None:
    """Write an ImageFolder of textures: one hue and one stripe width per category, with noise."""
    for category in range(first, first + categories):
        target = folder / f"texture-{category:02d}"
        target.mkdir(parents=True)
        for number in range(each):
            texture(category, number, size).save(target / f"{number:04d}.jpg", quality=85)


def texture(category: int, number: int, size: int) -> Image.Image:
    random = np.random.default_rng([category, number])
    hue = np.random.default_rng(category).integers(40, 216, 3)
    rows, columns = np.mgrid[0:size, 0:size]
    angle = random.uniform(-0.3, 0.3) + category
    wave = np.sin(
        (rows * np.cos(angle) + columns * np.sin(angle)) / (2 + category % 5) + random.uniform(0, 6)
    )
    pixels = hue + 40 * wave[..., None] + random.normal(0, 25, (size, size, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
