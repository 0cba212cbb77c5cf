"""What decoding a picture will cost, told from its headers alone: megapixels times scans.

A few kilobytes can hold 50 megapixels, and each scan of a progressive JPEG goes over all of them again; so pictures
are counted by this beside their number.
"""

import math
import re
import struct

from common.media import containers

_JPEG_MARKERS_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xDA), 0xFF}
_JPEG_FRAMES, _JPEG_PROGRESSIVE, _JPEG_START_OF_SCAN = {0xC0, 0xC1, 0xC2}, 0xC2, 0xDA
_JPEG_MOST_SEGMENTS = 200
_JPEG_FRAME = re.compile(rb"\xff[\xc0-\xc2]..\x08(..)(..)", re.DOTALL)
_JPEG_SCAN = b"\xff\xda"
_WEBP_CODED, _WEBP_LOSSLESS, _WEBP_EXTENDED = b"VP8 ", b"VP8L", b"VP8X"


def megapixels(data: bytes) -> float:
    """Return the megapixels of a picture times its scans; 0 for what is none or has a header cut off."""
    try:
        if containers.format_of(data) == "JPEG":
            (width, height), scans = _jpeg_size_and_scans(data)
        else:
            (width, height), scans = _size(data), 1
    except (struct.error, IndexError):
        return 0.0
    return width * height * scans / 1e6


def _size(data: bytes) -> tuple[int, int]:
    match containers.format_of(data):
        case "PNG":
            width, height = struct.unpack_from(">II", data, 16)
        case "GIF":
            width, height = struct.unpack_from("<HH", data, 6)
        case "BMP":
            is_old = struct.unpack_from("<I", data, 14)[0] == 12
            width, height = struct.unpack_from("<HH" if is_old else "<ii", data, 18)
        case "WEBP":
            width, height = _webp_size(data)
        case "HEIC":
            width, height = containers.take_apart(data, "HEIC").claimed
        case _:
            return 0, 0
    return abs(width), abs(height)


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == _WEBP_EXTENDED:
        sides = (data[24:27], data[27:30])
        return int.from_bytes(sides[0], "little") + 1, int.from_bytes(sides[1], "little") + 1
    if kind == _WEBP_LOSSLESS:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == _WEBP_CODED:
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


def _jpeg_size_and_scans(data: bytes) -> tuple[tuple[int, int], int]:
    """Return what is decoded; of a file that is not put together as usual, the most that it can be."""
    frames: list[tuple[int, int, int, int]] = []
    position = 2
    for _segment in range(_JPEG_MOST_SEGMENTS):
        if position + 10 > len(data) or data[position] != 0xFF:
            break
        if data[position + 1] in _JPEG_MARKERS_WITHOUT_LENGTH:
            break
        marker, start = data[position + 1], position + 4
        position += 2 + int(struct.unpack_from(">H", data, position + 2)[0])
        if marker in _JPEG_FRAMES:
            frames.append((marker, *struct.unpack_from(">xHHB", data, start)))
        elif marker == _JPEG_START_OF_SCAN and len(frames) == 1:
            kind, height, width, components = frames[0]
            # A decoder looks for no other scan then, so that there is no need to read on
            is_all = kind != _JPEG_PROGRESSIVE and data[start] == components
            return (width, height), 1 if is_all else _scans(data)
    sizes = [struct.unpack(">HH", b"".join(sides)) for sides in _JPEG_FRAME.findall(data)]
    height, width = max(sizes, key=math.prod, default=(0, 0))
    return (width, height), _scans(data)


def _scans(data: bytes) -> int:
    try:
        return max(1, containers.take_apart(data, "JPEG").scans)
    except containers.Broken:
        return data.count(_JPEG_SCAN)  # it will be refused; until that is known, the dearest that it can be
