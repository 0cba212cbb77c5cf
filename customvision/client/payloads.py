"""Bodies for the Training API, as the SDK wants them. Imports the SDK: import it where used."""

from collections.abc import Iterable

from azure.cognitiveservices.vision.customvision.training.models import (
    ImageFileCreateBatch,
    ImageFileCreateEntry,
    ImageTagCreateEntry,
)


def image_batch(pictures: Iterable[tuple[str, bytes, str]]) -> ImageFileCreateBatch:
    """Return a body for `create_images_from_files`, from names, encoded pictures and tag ids."""
    return ImageFileCreateBatch(
        images=[
            ImageFileCreateEntry(name=name, contents=bytearray(data), tag_ids=[tag])
            for name, data, tag in pictures
        ]
    )


def image_tags(pairs: Iterable[tuple[str, str]]) -> list[ImageTagCreateEntry]:
    """Return the list for `create_image_tags`, from pairs of image and tag ids."""
    return [ImageTagCreateEntry(image_id=image, tag_id=tag) for image, tag in pairs]
