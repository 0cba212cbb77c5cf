"""What decoding a picture will cost, told from its headers alone: megapixels times scans.

A few kilobytes can hold 50 megapixels, and each scan of a progressive JPEG goes over all of them again; so pictures
are counted by this beside their number.
"""

import re
import struct

from classifr.common.media import containers

_JPEG_FRAME = re.compile(rb"\xff[\xc0-\xc2]..\x08(..)(..)", re.DOTALL)
_JPEG_SCAN = b"\xff\xda"
_WEBP_CODED, _WEBP_LOSSLESS, _WEBP_EXTENDED = b"VP8 ", b"VP8L", b"VP8X"


def megapixels(data: bytes) -> float:
    """Return the megapixels of a picture times its scans; 0 for what is none or has a header cut off."""
    try:
        width, height = _size(data)
    except (struct.error, IndexError):
        return 0.0
    return width * height * _scans(data) / 1e6


def _size(data: bytes) -> tuple[int, int]:
    match containers.format_of(data):
        case "JPEG":
            # The largest: what is embedded as a thumbnail has a frame, too
            sizes = [struct.unpack(">HH", b"".join(sides)) for sides in _JPEG_FRAME.findall(data)]
            height, width = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
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


def _scans(data: bytes) -> int:
    """Return the number of scans of a JPEG; looked at closely only where there may be several."""
    if containers.format_of(data) != "JPEG" or (most := data.count(_JPEG_SCAN)) <= 1:
        return 1
    try:
        return max(1, containers.take_apart(data, "JPEG").scans)
    except containers.Broken:
        return most  # it will be refused; until it is known, the dearest that it can be
