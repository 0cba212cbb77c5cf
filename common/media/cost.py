"""What decoding a picture will cost, told from its headers alone: megapixels times scans.

A few kilobytes can hold 50 megapixels, and each scan of a progressive JPEG goes over all of them
again; so pictures are counted by this beside their number. What is put together in an unusual way
is taken for the dearest that it can be.
"""

import math
import re
import struct

from django.conf import settings

from common.media import formats, jpeg
from common.media.images import MAX_SCANS

_MAX_SEGMENTS = 200
_JPEG_PROGRESSIVE = 0xC2
_JPEG_FRAME = re.compile(rb"\xff[\xc0-\xc2]..\x08(..)(..)", re.DOTALL)
_JPEG_SCAN = b"\xff\xda"
_PNG_HEADER = re.compile(rb"IHDR(....)(....)", re.DOTALL)
_GIF_FRAME, _GIF_EXTENSION = 0x2C, 0x21
_WEBP_CODED, _WEBP_LOSSLESS, _WEBP_EXTENDED = b"VP8 ", b"VP8L", b"VP8X"

Size = tuple[int, int]


class _Unusual(Exception):
    """Headers do not stand where they usually do."""


def megapixels(data: bytes) -> float:
    """Return a picture's megapixels times its scans, 0 for what is refused before decoding."""
    format = formats.detect_format(data)
    try:
        (width, height), scans = _told(data, format)
    except struct.error:
        return 0.0  # cut off
    except _Unusual:
        pixels, scans = _most_pixels(data, format), _scans(data, format)
        return min(pixels, settings.UPLOAD_MAX_PIXELS) * min(scans, MAX_SCANS) / 1e6
    pixels = abs(width * height)  # the height of a BMP is below zero where its rows go downwards
    return 0.0 if pixels > settings.UPLOAD_MAX_PIXELS or scans > MAX_SCANS else pixels * scans / 1e6


def _told(data: bytes, format: str) -> tuple[Size, int]:
    """Return width, height and scans. Raises _Unusual; struct.error where the file is cut off."""
    match format:
        case "JPEG":
            return _jpeg(data)
        case "PNG":
            if data[12:16] != b"IHDR":
                raise _Unusual
            width, height = struct.unpack_from(">II", data, 16)
        case "GIF":
            width, height = _gif(data)
        case "BMP":
            is_old = struct.unpack_from("<I", data, 14)[0] == 12
            width, height = struct.unpack_from("<HH" if is_old else "<ii", data, 18)
        case "WEBP":
            width, height = _webp(data)
        case "HEIC":
            width, height = formats.split_container(data, format).claimed
        case _:
            width, height = 0, 0
    return (width, height), 1


def _jpeg(data: bytes) -> tuple[Size, int]:
    frames: list[tuple[int, int, int, int]] = []
    expected = len(jpeg.START)
    try:
        for marker, start, end in jpeg.segments(data, most=_MAX_SEGMENTS):
            # The longest fixed part of a header that is read below ends 10 bytes after its start.
            if start != expected or start + 10 > len(data):
                break
            if marker in jpeg.FRAMES_OF_BROWSERS:
                frames.append((marker, *struct.unpack_from(">xHHB", data, start + 4)))
            elif marker == jpeg.SCAN:
                if len(frames) != 1:
                    break
                kind, height, width, components = frames[0]
                (scanned,) = struct.unpack_from(">B", data, start + 4)
                # With every component in this scan, a sequential decoder looks for no other one.
                is_all = kind != _JPEG_PROGRESSIVE and scanned == components
                return (width, height), 1 if is_all else _scans(data, "JPEG")
            expected = end
    except jpeg.MalformedFile as error:
        raise _Unusual from error
    raise _Unusual


def _gif(data: bytes) -> Size:
    """Return the size of the screen, or of a larger first frame, which enlarges the screen."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + (3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0)
    for _block in range(_MAX_SEGMENTS):
        (kind,) = struct.unpack_from("B", data, position)
        if kind == _GIF_FRAME:
            left, top, right, bottom = struct.unpack_from("<HHHH", data, position + 1)
            return max(width, left + right), max(height, top + bottom)
        if kind != _GIF_EXTENSION:
            break
        # An extension: its kind, then parts with their length before each, the last of length 0.
        position += 2
        for _part in range(_MAX_SEGMENTS):
            (length,) = struct.unpack_from("B", data, position)
            position += 1 + length
            if not length:
                break
    raise _Unusual


def _webp(data: bytes) -> Size:
    # The three layouts of the WebP container, by the name of its first chunk; RFC 9649.
    kind = data[12:16]
    if kind == _WEBP_EXTENDED:
        sides = struct.unpack_from("3s3s", data, 24)
        return int.from_bytes(sides[0], "little") + 1, int.from_bytes(sides[1], "little") + 1
    if kind == _WEBP_LOSSLESS:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == _WEBP_CODED:
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


def _most_pixels(data: bytes, format: str) -> int:
    """Return the largest size that anything in the file speaks of."""
    match format:
        case "JPEG":
            sizes = [struct.unpack(">HH", b"".join(sides)) for sides in _JPEG_FRAME.findall(data)]
        case "PNG":
            sizes = [struct.unpack(">II", b"".join(sides)) for sides in _PNG_HEADER.findall(data)]
        case _:
            return int(settings.UPLOAD_MAX_PIXELS)
    return max(map(math.prod, sizes), default=0)


def _scans(data: bytes, format: str) -> int:
    if format != "JPEG":
        return 1
    try:
        return max(1, formats.split_container(data, format).scans)
    except jpeg.MalformedFile:
        # It will be refused; until that is known, the dearest that it can be
        return data.count(_JPEG_SCAN)
