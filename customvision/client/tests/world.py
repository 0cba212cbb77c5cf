"""The state of the stand-in, all in memory: projects with tags, images, iterations, predictions."""

import hashlib
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from uuid import uuid4

import numpy as np
from PIL import Image as Pillow

from customvision.client.tests.faults import Refusal

GENERAL = "ee85a74c-405e-4adc-bb47-ffa8ca0c9f31"
FOOD = "c151d5b5-dd07-472a-acc8-15d29dea8518"
FORMATS = ("JPEG", "PNG", "GIF", "BMP")
LONGEST_SIDE, STEEPEST_ASPECT = 10_240, 25
FEWEST_IMAGES, FEWEST_TAGS, MOST_ITERATIONS = 5, 2, 20
SHARPNESS = 12.0  # how many shades of difference in colour make a probability fall to about a third

Colour = tuple[float, ...]


def new_id() -> str:
    return str(uuid4())


def now() -> datetime:
    return datetime.now(UTC)


@cache
def seen(data: bytes) -> tuple[tuple[int, int], Colour] | None:
    """Return the size and the mean colour of a picture, None for what the service does not take."""
    try:
        with Pillow.open(io.BytesIO(data), formats=FORMATS) as image:
            pixels = np.asarray(image.convert("RGB"), dtype=float)
            return image.size, tuple(pixels.reshape(-1, 3).mean(axis=0))
    except (OSError, SyntaxError, ValueError):
        return None


def has_allowed_sides(size: tuple[int, int]) -> bool:
    return max(size) <= LONGEST_SIDE and max(size) <= STEEPEST_ASPECT * min(size)


@dataclass
class Tag:
    name: str
    description: str | None = None
    type: str = "Regular"
    id: str = field(default_factory=new_id)


@dataclass
class Image:
    data: bytes
    size: tuple[int, int]
    tags: dict[str, datetime] = field(default_factory=dict)  # tag id to the time it was put on
    id: str = field(default_factory=new_id)
    created: datetime = field(default_factory=now)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass
class Model:
    """The mean colour of every tag's images: a picture is of the tag whose colour is nearest."""

    colours: dict[str, Colour]  # by tag id
    names: dict[str, str]
    types: dict[str, str]

    def probabilities(self, data: bytes) -> list[tuple[str, float]]:
        """Return tag ids with probabilities, which add up to 1, in falling order."""
        found = seen(data)
        assert found is not None
        distances = np.array(
            [np.linalg.norm(np.subtract(found[1], colour)) for colour in self.colours.values()]
        )
        weights = np.exp(-(distances - distances.min()) / SHARPNESS)
        values = zip(self.colours, (weights / weights.sum()).tolist(), strict=True)
        return sorted(values, key=lambda item: -item[1])


@dataclass
class Iteration:
    name: str
    content: str  # digest of what it was trained on
    model: Model
    polls_left: int
    fails: bool = False
    images: dict[str, dict[str, datetime]] = field(default_factory=dict)
    status: str = "Training"
    publish_name: str | None = None
    publish_target: str | None = None
    id: str = field(default_factory=new_id)
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)
    trained: datetime | None = None

    def poll(self) -> None:
        """Come nearer to the end of the training."""
        if self.status != "Training":
            return
        self.polls_left -= 1
        if self.polls_left <= 0:
            self.status = "Failed" if self.fails else "Completed"
            self.modified = now()
            self.trained = None if self.fails else self.modified


@dataclass
class Stored:
    """A prediction that was kept with its picture."""

    data: bytes
    iteration: str
    application: str
    predictions: list[dict]
    id: str
    created: datetime = field(default_factory=now)


@dataclass
class Project:
    name: str
    description: str = ""
    domain: str = GENERAL
    classification: str = "Multiclass"
    id: str = field(default_factory=new_id)
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)
    tags: dict[str, Tag] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    iterations: dict[str, Iteration] = field(default_factory=dict)
    predictions: dict[str, Stored] = field(default_factory=dict)

    def tag_named(self, name: str) -> Tag:
        return next(tag for tag in self.tags.values() if tag.name == name)

    def tagged(self, tag_id: str) -> list[Image]:
        return [image for image in self.images.values() if tag_id in image.tags]

    @property
    def content(self) -> str:
        """Return what is the same exactly while nothing is added, removed or tagged."""
        lines = sorted(
            f"{image.id} {' '.join(sorted(image.tags))}" for image in self.images.values()
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def put(self, data: bytes, tag_ids: list[str]) -> tuple[str, Image | None]:
        """Take an image in; return the status of its upload and the image, where there is one."""
        found = seen(data)
        if found is None:
            return "ErrorImageFormat", None
        if not has_allowed_sides(found[0]):
            return "ErrorImageDimensions", None
        if any(tag_id not in self.tags for tag_id in tag_ids):
            return "ErrorInvalidTag", None
        for image in self.images.values():
            if image.data == data:
                self.put_tags(image, tag_ids)
                return "OKDuplicate", image
        image = Image(data, found[0])
        self.put_tags(image, tag_ids)
        self.images[image.id] = image
        return "OK", image

    def put_tags(self, image: Image, tag_ids: list[str]) -> list[str]:
        """Put tags on an image; return those that were too many for it."""
        exceeded = []
        for tag_id in tag_ids:
            if self.classification == "Multiclass" and image.tags and tag_id not in image.tags:
                exceeded.append(tag_id)
            else:
                image.tags.setdefault(tag_id, now())
        return exceeded

    def learn(self) -> Model:
        """Return the model of the present images. Raises Refusal if there are too few."""
        usable = {tag.id: self.tagged(tag.id) for tag in self.tags.values()}
        enough = {
            tag_id: images for tag_id, images in usable.items() if len(images) >= FEWEST_IMAGES
        }
        if len(enough) < FEWEST_TAGS or any(
            0 < len(images) < FEWEST_IMAGES for images in usable.values()
        ):
            message = (
                "Not enough images for training: at least 2 tags with 5 images each are needed."
            )
            raise Refusal("BadRequestTrainingValidationFailed", message)
        colours = {tag_id: _mean(images) for tag_id, images in enough.items()}
        names = {tag_id: self.tags[tag_id].name for tag_id in enough}
        return Model(colours, names, {tag_id: self.tags[tag_id].type for tag_id in enough})


def _mean(images: list[Image]) -> Colour:
    colours = [found[1] for image in images if (found := seen(image.data))]
    return tuple(np.mean(colours, axis=0))
