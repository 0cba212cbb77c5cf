"""What every kind of content has in common, once checked: bytes, their type, their digest."""

from collections.abc import Mapping
from typing import Any, Protocol

# Of our own names in the storages
EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "text/plain": "txt",
}


class Content(Protocol):
    """A picture (`images.Picture`) or a text (`texts.Text`) that passed the door.

    `data` is what is stored, of type `media_type`; `sha256` is of that, and `received_sha256` of
    what came, where that differs; `capture` holds what was read on the way; `size` is in pixels,
    (0, 0) of what has none.
    """

    @property
    def data(self) -> bytes: ...
    @property
    def media_type(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def received_sha256(self) -> str: ...
    @property
    def capture(self) -> Mapping[str, Any]: ...
    @property
    def size(self) -> tuple[int, int]: ...
