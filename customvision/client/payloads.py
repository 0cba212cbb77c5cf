"""What is sent to the training area in a body, as the SDK wants it. Imports the SDK, so only where
it is used.
"""

from collections.abc import Iterable

from azure.cognitiveservices.vision.customvision.training.models import (
    ImageFileCreateBatch,
    ImageFileCreateEntry,
    ImageTagCreateEntry,
)


def image_batch(pictures: Iterable[tuple[str, bytes, str]]) -> ImageFileCreateBatch:
    """Return the batch of `create_images_from_files`, of names, encoded pictures and ids of their
    tags.
    """
    return ImageFileCreateBatch(
        images=[
            ImageFileCreateEntry(name=name, contents=bytearray(data), tag_ids=[tag])
            for name, data, tag in pictures
        ]
    )


def image_tags(pairs: Iterable[tuple[str, str]]) -> list[ImageTagCreateEntry]:
    """Return the list of `create_image_tags`, of ids of images and of their tags."""
    return [ImageTagCreateEntry(image_id=image, tag_id=tag) for image, tag in pairs]
