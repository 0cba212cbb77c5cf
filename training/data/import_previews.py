"""What a data set shows before it is taken: a strip of a few pictures for each category."""

import io

from PIL import Image, ImageOps

from common.media import images
from common.media.content import Content
from common.media.images import Picture

SIDE = 72
GAP = 4
PICTURES = 5
MOST_CATEGORIES = 40


class Previews:
    """The first pictures of each category, small; of so many categories that memory is bounded."""

    def __init__(self) -> None:
        self._small: dict[str, list[Image.Image]] = {}

    def add(self, category: str, content: Content) -> None:
        if not isinstance(content, Picture):
            return
        if category not in self._small and len(self._small) >= MOST_CATEGORIES:
            return
        small = self._small.setdefault(category, [])
        if len(small) < PICTURES:
            thumbnail = Image.open(io.BytesIO(images.make_thumbnail(content.data, 2 * SIDE)))
            small.append(ImageOps.fit(thumbnail.convert("RGB"), (SIDE, SIDE)))

    def strips(self) -> dict[str, bytes]:
        """Return a JPEG for each category: its pictures side by side, on white."""
        strips = {}
        for category, small in self._small.items():
            strip = Image.new("RGB", (PICTURES * (SIDE + GAP) - GAP, SIDE), "white")
            for place, picture in enumerate(small):
                strip.paste(picture, (place * (SIDE + GAP), 0))
            buffer = io.BytesIO()
            strip.crop((0, 0, len(small) * (SIDE + GAP) - GAP, SIDE)).save(
                buffer, "JPEG", quality=80
            )
            strips[category] = buffer.getvalue()
        return strips
