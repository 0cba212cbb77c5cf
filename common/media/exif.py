"""Reads the few EXIF fields that we want, and never the place where a picture was taken.

Pillow's reader loads every field, as often as hostile bytes repeat it; this one looks at a bounded
number of entries and copies only short values. Anything odd is skipped: metadata is a courtesy, no
reason to refuse a picture.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

_MAX_ENTRIES = 500
_MAX_TEXT_BYTES = 200
_ORIENTATION, _MAKE, _MODEL, _CHANGED_AT, _DETAILS = 0x0112, 0x010F, 0x0110, 0x0132, 0x8769
_TAKEN_AT, _TAKEN_AT_OFFSET = 0x9003, 0x9011
_TEXT, _SHORT, _LONG = 2, 3, 4


@dataclass(frozen=True)
class Facts:
    """What we read: `orientation` is 1 to 8, the texts are "" where nothing was said."""

    orientation: int = 1
    camera_make: str = ""
    camera_model: str = ""
    taken_at: str = ""


def read(exif: bytes) -> Facts:
    """Return what these bytes say, as far as they can be understood."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return Facts()
    main = dict(_entries(tiff, order, struct.unpack_from(f"{order}I", tiff, 4)[0]))
    details_at = main.get(_DETAILS)
    details = dict(_entries(tiff, order, details_at)) if isinstance(details_at, int) else {}
    orientation = main.get(_ORIENTATION)
    return Facts(
        orientation=orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
        camera_make=_shown(main.get(_MAKE)),
        camera_model=_shown(main.get(_MODEL)),
        taken_at=_moment(
            details.get(_TAKEN_AT) or main.get(_CHANGED_AT), details.get(_TAKEN_AT_OFFSET)
        ),
    )


def _entries(tiff: bytes, order: str, offset: int) -> Iterator[tuple[int, int | bytes]]:
    """Yield the short texts and single numbers of one directory; GPS is in another one, which
    nothing here opens.
    """
    if offset + 2 > len(tiff):
        return
    (count,) = struct.unpack_from(f"{order}H", tiff, offset)
    for start in range(offset + 2, offset + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        if start + 12 > len(tiff):
            return
        tag, kind, length = struct.unpack_from(f"{order}HHI", tiff, start)
        if kind == _TEXT and length <= _MAX_TEXT_BYTES:
            at = start + 8 if length <= 4 else struct.unpack_from(f"{order}I", tiff, start + 8)[0]
            yield tag, tiff[at : at + length]
        elif kind in (_SHORT, _LONG) and length == 1:
            yield (
                tag,
                struct.unpack_from(f"{order}{'H' if kind == _SHORT else 'I'}", tiff, start + 8)[0],
            )


def _shown(value: int | bytes | None) -> str:
    """Return a short text that is safe to store and to show."""
    if not isinstance(value, bytes):
        return ""
    text = value.split(b"\0")[0].decode("utf-8", "replace")
    return "".join(character for character in text if character.isprintable()).strip()[:100]


def _moment(taken_at: int | bytes | None, offset: int | bytes | None) -> str:
    """Return a moment in ISO form, with its offset from UTC where the camera knew it."""
    text = _shown(taken_at)
    for value, form in (
        (text + _shown(offset), "%Y:%m:%d %H:%M:%S%z"),
        (text, "%Y:%m:%d %H:%M:%S"),
    ):
        try:
            return datetime.strptime(value, form).isoformat()  # noqa: DTZ007 (a camera's clock has no zone)
        except ValueError:
            continue
    return ""
