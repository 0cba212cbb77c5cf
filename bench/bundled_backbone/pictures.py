"""The pictures that may train the backbone, those that may not, and the views of them that are
learned from.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from training.backbones import bundled

TEACHER_SIZE = 2 * bundled.INPUT_SIZE
TRAIN_BELOW = 70
SETS = ("food", "food101_64px", "cats_dogs", "pose_yoga", "inspect_magtile", "inspect_neudet")
DEMO_DISHES = (
    "beef_carpaccio",
    "bibimbap",
    "cannoli",
    "edamame",
    "gnocchi",
    "hamburger",
    "risotto",
    "sushi",
    "tiramisu",
)


def log(message: str) -> None:
    """Print a line with the time of day."""
    print(f"[{time.strftime('%H:%M:%S')}] {message}", flush=True)


@dataclass(frozen=True)
class Picture:
    """One picture of a set: where it is, its class, and the SHA-256 of its bytes."""

    group: str
    label: str
    path: Path
    sha256: str

    @property
    def bucket(self) -> int:
        """0 to 99 from the bytes: below 70 may train, 70 to 84 validates, 85 and above tests."""
        return int(self.sha256[:8], 16) % 100

    @property
    def number(self) -> str:
        """Identifier of the photo in Food-101, which the names in both food sets end with."""
        found = re.findall(r"\d+", self.path.stem)
        return found[-1] if found else self.path.stem


def reserved(label: str) -> bool:
    """Whether the class is kept out of the training so that it can be shown as a new category."""
    return "pizza" in label or "cake" in label


def list_pictures(data: Path, groups: Sequence[str] = SETS) -> list[Picture]:
    """Every picture of the sets, in a stable order."""
    found = []
    for group in groups:
        for path in sorted((data / group).glob("*/*")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found.append(Picture(group, path.parent.name, path, digest))
    return found


def training_pictures(pictures: Sequence[Picture]) -> list[Picture]:
    """The pictures that may train the backbone.

    Both food sets come from Food-101 and share photos: a small copy of a held-out large photo is
    held out too. Of the classes that the evaluation and the demo use, the small set keeps its own
    held-out part as well.
    """
    held = {(p.label, p.number) for p in pictures if p.group == "food" and p.bucket >= TRAIN_BELOW}
    split = {p.label for p in pictures if p.group == "food"} | set(DEMO_DISHES)
    chosen = []
    for picture in pictures:
        if picture.group.startswith("food") and reserved(picture.label):
            continue
        if picture.group == "food101_64px":
            if (picture.label, picture.number) in held or (
                picture.label in split and picture.bucket >= TRAIN_BELOW
            ):
                continue
        elif picture.bucket >= TRAIN_BELOW:
            continue
        chosen.append(picture)
    return chosen


def open_rgb(path: Path) -> Image.Image:
    """The upright picture in RGB."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def centre_square(image: Image.Image) -> Image.Image:
    """The largest centred square."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def standard_view(image: Image.Image, size: int) -> np.ndarray:
    """The preprocessing of the product: centred square, antialiased bilinear resize, uint8."""
    return np.asarray(centre_square(image).resize((size, size), Image.Resampling.BILINEAR))


def random_box(image: Image.Image, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A random crop of 30 to 100 percent of the area, of mildly varying proportions."""
    width, height = image.size
    area = width * height * rng.uniform(0.3, 1.0)
    ratio = float(np.exp(rng.uniform(np.log(0.75), np.log(4 / 3))))
    w, h = min(width, (area * ratio) ** 0.5), min(height, (area / ratio) ** 0.5)
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return (x, y, x + w, y + h)


def jitter(pixels: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Brightness, contrast and saturation by the three factors."""
    values = pixels.astype(np.float32) * factors[0]
    values = (values - values.mean()) * factors[1] + values.mean()
    grey = values.mean(axis=2, keepdims=True)
    return np.clip((values - grey) * factors[2] + grey, 0, 255).astype(np.uint8)


def render(
    image: Image.Image, view: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One view for student and teacher: the standard one first, then random crops with mild colour
    changes.
    """
    sizes = (bundled.INPUT_SIZE, TEACHER_SIZE)
    if view == 0:
        return standard_view(image, sizes[0]), standard_view(image, sizes[1])
    box, factors = random_box(image, rng), rng.uniform(0.75, 1.25, 3)
    small, large = (
        jitter(np.asarray(image.resize((s, s), Image.Resampling.BILINEAR, box=box)), factors)
        for s in sizes
    )
    return small, large
