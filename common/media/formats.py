"""Picture files taken apart: their format, the pixels to decode, EXIF, and what colours mean.

Metadata parsers are where hostile bytes do most harm: a 64 KB block can make Pillow's TIFF reader
fill gigabytes, and a comment survives a plain re-save. So JPEG and PNG are taken apart here and put
together again from the few blocks that make the picture; EXIF comes out aside, as bytes. This also
ends the file where its picture ends.
"""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from common.media import colours, jpeg
from common.media.jpeg import MalformedFile

_JPEG_MAX_SEGMENTS = 5_000
# JFIF, the colour profile and Adobe's transform say how to read the colours; the number is the
# least bytes that one with content has, marker and length counted.
_JPEG_KEPT_APPLICATION = {0xE0: (b"JFIF\0", 18), 0xE2: (b"ICC_PROFILE\0", 18), 0xEE: (b"Adobe", 16)}

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"IDAT", b"IEND"}
_PNG_MAX_CHUNKS = 50_000
_MAX_COLOUR_BYTES = 32  # of a chunk that tells the colours: cHRM is the longest

_HEIC_SIZE = re.compile(rb"ispe.{4}(.{4})(.{4})", re.DOTALL)
_HEIC_BRANDS = {
    *(b"heic", b"heix", b"heim", b"heis"),
    *(b"hevc", b"hevx", b"hevm", b"hevs"),
    *(b"mif1", b"msf1"),
}

# EXIF tags and field types, by their numbers in the TIFF and EXIF specifications.
_EXIF_MAX_ENTRIES = 500
_EXIF_MAX_TEXT_BYTES = 200
_ORIENTATION, _MAKE, _MODEL, _CHANGED_AT, _DETAILS = 0x0112, 0x010F, 0x0110, 0x0132, 0x8769
_TAKEN_AT, _TAKEN_AT_OFFSET = 0x9003, 0x9011
_TEXT, _SHORT, _LONG = 2, 3, 4


class UnsupportedCoding(MalformedFile):
    """The file may be whole, but is coded in a way that is not read here."""


@dataclass(frozen=True)
class Container:
    """The parts of a picture file: what to decode, EXIF found aside, and what decoding would cost.

    `claimed` is the largest size that the file speaks of, where that may differ from the size of
    the picture. `profile` is the colour profile of a file that tells its colours in another way.
    """

    pixels: bytes
    exif: bytes = b""
    scans: int = 1
    claimed: tuple[int, int] = (1, 1)
    profile: bytes = b""


@dataclass(frozen=True)
class ExifFacts:
    """What we read: `orientation` is 1 to 8, the texts are "" where nothing was said."""

    orientation: int = 1
    camera_make: str = ""
    camera_model: str = ""
    taken_at: str = ""


def detect_format(data: bytes) -> str:
    """Return which of our formats the first bytes show, "" for any other; no name counts."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(_PNG_SIGNATURE):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(b"BM"):
        return "BMP"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return "HEIC"
    return ""


def split_container(data: bytes, format: str) -> Container:
    """Return the parts of a file of this format. Raises MalformedFile."""
    match format:
        case "JPEG":
            return _split_jpeg(data)
        case "PNG":
            return _split_png(data)
        case "BMP":
            if len(data) < 54:
                raise MalformedFile("shorter than its header")
            (header_bytes,) = struct.unpack_from("<I", data, 14)
            # Hardly anyone uses run-length coding, and a few kilobytes of it keep Pillow busy for
            # seconds. Only the header of 40 bytes and its successors have a field that says so.
            if header_bytes >= 40 and struct.unpack_from("<I", data, 30)[0] not in (0, 3):
                raise UnsupportedCoding("run-length coded, or coded as another format")
        case "HEIC":
            # The largest of all: what is shown may be a small cutting of one that is decoded whole.
            sizes = [
                (int.from_bytes(width), int.from_bytes(height))
                for width, height in _HEIC_SIZE.findall(data)
            ]
            return Container(data, claimed=max(sizes, key=math.prod, default=(1, 1)))
    return Container(data)


def _split_jpeg(data: bytes) -> Container:
    kept: list[bytes | memoryview] = [jpeg.START]
    exif, scans, view = b"", 0, memoryview(data)
    for marker, start, end in jpeg.segments(data, most=_JPEG_MAX_SEGMENTS):
        if marker in jpeg.FRAMES and marker not in jpeg.FRAMES_OF_BROWSERS:
            raise UnsupportedCoding("in a way that no browser shows, and some of which cost much")
        scans += marker == jpeg.SCAN
        if marker == 0xE1 and not exif and data.startswith(jpeg.EXIF, start + 4):
            exif = data[start + 4 : end]
        identifier, least_bytes = _JPEG_KEPT_APPLICATION.get(marker, (b"", 0))
        says_colours = (
            bool(identifier)
            and data.startswith(identifier, start + 4)
            and end - start >= least_bytes
        )
        if marker not in jpeg.COMMENT_AND_APPLICATION or says_colours:
            kept.append(view[start:end])
    return Container(b"".join(kept), exif, scans)


def _split_png(data: bytes) -> Container:
    kept: list[bytes | memoryview] = [_PNG_SIGNATURE]
    exif, view, position = b"", memoryview(data), len(_PNG_SIGNATURE)
    says_colours: dict[bytes, bytes] = {}
    for _chunk in range(_PNG_MAX_CHUNKS):
        if position + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind in _PNG_KEPT:
            kept.append(view[position:end])
        elif kind == b"eXIf" and not exif:
            exif = data[position + 8 : end - 4]
        if kind in colours.PNG_CHUNKS:
            says_colours.setdefault(kind, data[position + 8 : end - 4][:_MAX_COLOUR_BYTES])
        position = end
        # Whatever follows is no part of the picture.
        if kind == b"IEND":
            break
    else:
        raise MalformedFile("too many chunks")
    return Container(b"".join(kept), exif, profile=colours.png_profile(says_colours))


def read_exif(exif: bytes) -> ExifFacts:
    """Return what these bytes say, as far as they can be understood; never where it was taken.

    Pillow's reader loads every field, as often as hostile bytes repeat it; this one looks at a
    bounded number of entries and copies only short values. Anything odd is skipped: metadata is a
    courtesy, no reason to refuse a picture.
    """
    tiff = exif.removeprefix(jpeg.EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return ExifFacts()
    # GPS has a directory of its own, which nothing here opens.
    main = dict(_exif_entries(tiff, order, struct.unpack_from(f"{order}I", tiff, 4)[0]))
    details_at = main.get(_DETAILS)
    details = dict(_exif_entries(tiff, order, details_at)) if isinstance(details_at, int) else {}
    orientation = main.get(_ORIENTATION)
    taken_at = _shown(details.get(_TAKEN_AT) or main.get(_CHANGED_AT))
    offset = _shown(details.get(_TAKEN_AT_OFFSET))
    return ExifFacts(
        orientation=orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
        camera_make=_shown(main.get(_MAKE)),
        camera_model=_shown(main.get(_MODEL)),
        taken_at=_moment(taken_at, offset),
    )


def _exif_entries(tiff: bytes, order: str, offset: int) -> Iterator[tuple[int, int | bytes]]:
    """Yield the short texts and single numbers of one directory."""
    if offset + 2 > len(tiff):
        return
    (count,) = struct.unpack_from(f"{order}H", tiff, offset)
    for start in range(offset + 2, offset + 2 + 12 * min(count, _EXIF_MAX_ENTRIES), 12):
        if start + 12 > len(tiff):
            return
        tag, kind, length = struct.unpack_from(f"{order}HHI", tiff, start)
        if kind == _TEXT and length <= _EXIF_MAX_TEXT_BYTES:
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


def _moment(local_time: str, offset: str) -> str:
    """Return a moment in ISO form, with its offset from UTC where the camera knew it."""
    for value, form in (
        (local_time + offset, "%Y:%m:%d %H:%M:%S%z"),
        (local_time, "%Y:%m:%d %H:%M:%S"),
    ):
        try:
            return datetime.strptime(value, form).isoformat()  # noqa: DTZ007 (a camera's clock has no zone)
        except ValueError:
            continue
    return ""
