"""What a decoder is given: the pixels of a file, without anything else that was in it.

Metadata parsers are where hostile bytes do most harm: a 64 KB block can make Pillow's TIFF reader
fill gigabytes, and a comment survives a plain re-save. So JPEG and PNG are taken apart here and put
together again from the few blocks that make the picture; EXIF comes out aside, as bytes. This also
ends the file where its picture ends.
"""

import math
import re
import struct
from dataclasses import dataclass

_JPEG_MARKER = re.compile(rb"\xff[\x01-\xfe]", re.DOTALL)
_JPEG_END_OF_SCAN_DATA = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
_JPEG_MAX_SEGMENTS = 5_000
_JPEG_START_OF_SCAN, _JPEG_END = 0xDA, 0xD9
_JPEG_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8}
_JPEG_FRAMES_OF_BROWSERS = {0xC0, 0xC1, 0xC2}
_JPEG_COMMENT_AND_APPLICATION = {0xFE, *range(0xE0, 0xF0)}
_JPEG_KEPT_APPLICATION = {0xE0: (b"JFIF\0", 18), 0xE2: (b"ICC_PROFILE\0", 18), 0xEE: (b"Adobe", 16)}
_EXIF = b"Exif\0\0"

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"IDAT", b"IEND"}
_PNG_MAX_CHUNKS = 50_000

_HEIC_SIZE = re.compile(rb"ispe.{4}(.{4})(.{4})", re.DOTALL)
_HEIC_BRANDS = {
    b"heic",
    b"heix",
    b"heim",
    b"heis",
    b"hevc",
    b"hevx",
    b"hevm",
    b"hevs",
    b"mif1",
    b"msf1",
}


class MalformedFile(Exception):
    """The file is not put together as its format demands."""


@dataclass(frozen=True)
class Container:
    """The parts of a picture file: what to decode, EXIF if it was found aside, and what decoding it
    would cost.

    `claimed` is the largest size that the file speaks of, where that may differ from the size of
    the picture.
    """

    pixels: bytes
    exif: bytes = b""
    scans: int = 1
    claimed: tuple[int, int] = (1, 1)


def detect_format(data: bytes) -> str:
    """Return the format that the first bytes show, one of ours, or "" for anything else. Names do
    not count.
    """
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
            return _jpeg(data)
        case "PNG":
            return _png(data)
        case "BMP":
            return _bmp(data)
        case "HEIC":
            return _heic(data)
    return Container(data)


def _jpeg(data: bytes) -> Container:
    kept: list[bytes | memoryview] = [b"\xff\xd8"]
    exif, scans, view, position = b"", 0, memoryview(data), 2
    for _segment in range(_JPEG_MAX_SEGMENTS):
        found = _JPEG_MARKER.search(data, position)
        if found is None:
            break
        start, marker = found.start(), data[found.start() + 1]
        if marker == _JPEG_END:
            kept.append(b"\xff\xd9")
            break
        if marker in _JPEG_STANDALONE:
            position = start + 2
            continue
        if marker in _JPEG_FRAMES and marker not in _JPEG_FRAMES_OF_BROWSERS:
            raise MalformedFile("coded in a way that no browser shows, and some of which cost much")
        end = start + 2 + _jpeg_length(data, start)
        if marker == _JPEG_START_OF_SCAN:
            scans += 1
            after = _JPEG_END_OF_SCAN_DATA.search(data, end)
            end = after.start() if after else len(data)
        elif marker == 0xE1 and not exif and data.startswith(_EXIF, start + 4):
            exif = data[start + 4 : end]
        if marker not in _JPEG_COMMENT_AND_APPLICATION or _is_kept_application(data, start, end):
            kept.append(view[start:end])
        position = end
    else:
        raise MalformedFile("too many segments")
    return Container(b"".join(kept), exif, scans)


def _jpeg_length(data: bytes, start: int) -> int:
    if start + 4 > len(data):
        raise MalformedFile("ends in a marker")
    (length,) = struct.unpack_from(">H", data, start + 2)
    if length < 2:
        raise MalformedFile("segment shorter than its own length")
    return length


def _is_kept_application(data: bytes, start: int, end: int) -> bool:
    """Keep what says how to read the colours: JFIF, Adobe's transform, and the colour profile."""
    identifier, least_bytes = _JPEG_KEPT_APPLICATION.get(data[start + 1], (b"", 0))
    return (
        bool(identifier) and data.startswith(identifier, start + 4) and end - start >= least_bytes
    )


def _png(data: bytes) -> Container:
    kept: list[bytes | memoryview] = [_PNG_SIGNATURE]
    exif, view, position = b"", memoryview(data), len(_PNG_SIGNATURE)
    for _chunk in range(_PNG_MAX_CHUNKS):
        if position + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind in _PNG_KEPT:
            kept.append(view[position:end])
        elif kind == b"eXIf" and not exif:
            exif = data[position + 8 : end - 4]
        position = end
        if kind == b"IEND":
            break
    else:
        raise MalformedFile("too many chunks")
    return Container(b"".join(kept), exif)


def _bmp(data: bytes) -> Container:
    """Refuse run-length coding, which hardly anyone uses: a few kilobytes of it keep Pillow busy
    for seconds.
    """
    if len(data) < 54:
        raise MalformedFile("shorter than its header")
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes >= 40 and struct.unpack_from("<I", data, 30)[0] not in (0, 3):
        raise MalformedFile("run-length coded")
    return Container(data)


def _heic(data: bytes) -> Container:
    """Find the largest picture in the file: what is shown may be a small cutting of it."""
    sizes = [
        tuple(int.from_bytes(side) for side in found.groups())
        for found in _HEIC_SIZE.finditer(data)
    ]
    return Container(data, claimed=max(sizes, key=math.prod, default=(1, 1)))  # type: ignore[arg-type]
