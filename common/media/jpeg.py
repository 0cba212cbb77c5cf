"""Rewriting a JPEG around its coefficients: nothing but the picture is left, and no pixel changes.

What is kept of a photo that is upright and sRGB already. The reading is strict: every byte of the
file has to be accounted for, from one marker to the next. For whatever is unusual the answer is
None, and such a picture is decoded and encoded anew as any other. Format: ITU-T T.81, annex B;
JFIF: ITU-T T.871.
"""

import io
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from common.media import colours

_START, _END = b"\xff\xd8", b"\xff\xd9"
_JFIF = b"\xff\xe0" + struct.pack(">H5sHBHHBB", 16, b"JFIF\0", 0x0101, 0, 1, 1, 0, 0)
_END_OF_SCAN = re.compile(rb"\xff[^\x00]", re.DOTALL)
_HUFFMAN, _FRAMES, _SCAN, _QUANTIZATION = 0xC4, {0xC0, 0xC1}, 0xDA, 0xDB
_EXIF, _ICC, _ADOBE = (0xE1, b"Exif\0\0"), (0xE2, b"ICC_PROFILE\0"), (0xEE, b"Adobe")
_COMMENT_AND_APPLICATION = {0xFE, *range(0xE0, 0xF0)}
_MAX_SEGMENTS = 200
_RGB = b"RGB"
_YCBCR = b"\x01"
_WHOLE_SPECTRUM = bytes([0, 63, 0])


@dataclass(frozen=True)
class StrippedJpeg:
    """The file that is left: start, JFIF, the tables that are used, frame, scan, end. `exif` is
    what was dropped.
    """

    data: bytes
    exif: bytes


class TrailingDataReader(io.BytesIO):
    """A rewritten file to decode, which notices bytes behind the last coefficient: there could be
    anything in them.

    The last byte of the scan is handed out alone. A decoder that has the whole picture without
    asking for it leaves at least that byte unused; as it looks ahead by up to 8 bytes, so many may
    pass.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._apart = len(data) - len(_END) - 1
        self.was_needed = False

    def read(self, size: int | None = -1, /) -> bytes:
        before = self._apart - self.tell()
        if before <= 0:
            self.was_needed = True
            return super().read(size)
        return super().read(before if size is None or size < 0 else min(size, before))


class _Unusual(Exception):
    pass


@dataclass
class _Parts:
    quantization: dict[int, bytes] = field(default_factory=dict)
    huffman: dict[int, bytes] = field(default_factory=dict)
    frame: tuple[int, bytes] = (0, b"")
    exif: bytes = b""
    profile: bytes = b""
    adobe: bytes = b""


def strip_metadata(data: bytes) -> StrippedJpeg | None:
    """Return the JPEG without anything that is not its picture, or None if it has to be encoded
    anew.

    It can stay as it is coded when it is sequential, of one scan without restarts, 8 bits deep,
    grey or YCbCr, and without any profile but sRGB. Neither the coefficients nor the orientation is
    looked at.
    """
    try:
        return _rewritten(data)
    except (_Unusual, IndexError, struct.error):
        return None


def _rewritten(data: bytes) -> StrippedJpeg:
    parts = _Parts()
    for marker, start, end in _segments(data):
        if marker == _SCAN:
            return StrippedJpeg(_put_together(data, parts, start, end), parts.exif)
        _take(parts, marker, data[start:end])
    raise _Unusual("no scan")


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of the body of segments, each of which begins where the one
    before ends.
    """
    position = len(_START)
    for _segment in range(_MAX_SEGMENTS):
        if data[position] != 0xFF:
            raise _Unusual("bytes between the segments")
        (length,) = struct.unpack_from(">H", data, position + 2)
        end = position + 2 + length
        if length < 2 or end > len(data):
            raise _Unusual("a segment of an impossible length")
        yield data[position + 1], position + 4, end
        position = end


def _take(parts: _Parts, marker: int, body: bytes) -> None:
    if marker == _QUANTIZATION:
        _take_tables(parts.quantization, _quantization_tables(body))
    elif marker == _HUFFMAN:
        _take_tables(parts.huffman, _huffman_tables(body))
    elif marker in _FRAMES and not parts.frame[0]:
        parts.frame = (marker, body)
    elif marker not in _COMMENT_AND_APPLICATION:
        raise _Unusual("another way of coding")
    elif marker == _EXIF[0] and body.startswith(_EXIF[1]) and not parts.exif:
        parts.exif = body
    elif marker == _ICC[0] and body.startswith(_ICC[1]):
        parts.profile += body
    elif marker == _ADOBE[0] and body.startswith(_ADOBE[1]):
        parts.adobe = body


def _take_tables(known: dict[int, bytes], tables: Iterator[tuple[int, bytes]]) -> None:
    for number, table in tables:
        if number in known:
            raise _Unusual("a table that comes twice")
        known[number] = table


def _quantization_tables(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and table: precision (4 bits), number (4 bits), 64 values of one or two
    bytes.
    """
    position = 0
    while position < len(body):
        end = position + (129 if body[position] >> 4 else 65)
        yield body[position] & 0x0F, _exactly(body, position, end)
        position = end


def _huffman_tables(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield class and number, and table: how many codes there are of each of 16 lengths, then a
    value for each.
    """
    position = 0
    while position < len(body):
        end = position + 17 + sum(body[position + 1 : position + 17])
        yield body[position], _exactly(body, position, end)
        position = end


def _exactly(body: bytes, start: int, end: int) -> bytes:
    if end > len(body):
        raise _Unusual("a table that is cut off")
    return body[start:end]


def _put_together(data: bytes, parts: _Parts, start: int, end: int) -> bytes:
    marker, frame = parts.frame
    scan = data[start:end]
    components = _components(frame)
    _check_colours(parts, bytes(number for number, _table in components))
    selectors = [scan[place : place + 2] for place in range(1, 1 + 2 * len(components), 2)]
    if scan[0] != len(components) or scan[1 + 2 * len(components) :] != _WHOLE_SPECTRUM:
        raise _Unusual("a scan of a part of the picture")
    if [selector[0] for selector in selectors] != [number for number, _table in components]:
        raise _Unusual("a scan of other components")
    after = _END_OF_SCAN.search(data, end)
    if after is None or after.group() != _END or after.start() == end:
        raise _Unusual("not one scan up to the end")
    tables = [
        *_used(_QUANTIZATION, parts.quantization, [table for _number, table in components]),
        *_used(_HUFFMAN, parts.huffman, [selector[1] >> 4 for selector in selectors]),
        *_used(_HUFFMAN, parts.huffman, [0x10 | selector[1] & 0x0F for selector in selectors]),
    ]
    coded = memoryview(data)[end : after.end()]
    return b"".join([_START, _JFIF, *tables, _segment(marker, frame), _segment(_SCAN, scan), coded])


def _components(frame: bytes) -> list[tuple[int, int]]:
    """Return number and quantization table of each component."""
    precision, height, width, count = struct.unpack_from(">BHHB", frame)
    if (
        precision != 8
        or not height
        or not width
        or count not in (1, 3)
        or len(frame) != 6 + 3 * count
    ):
        raise _Unusual("neither grey nor three colours of 8 bits")
    return [(frame[place], frame[place + 2]) for place in range(6, len(frame), 3)]


def _check_colours(parts: _Parts, components: bytes) -> None:
    """Make sure that the picture is grey or YCbCr in sRGB, as JFIF says of what we write."""
    if len(components) == 3 and (
        components == _RGB or (parts.adobe and parts.adobe[11:12] != _YCBCR)
    ):
        raise _Unusual("colours that are not YCbCr")
    if parts.profile and not colours.is_srgb(parts.profile):
        raise _Unusual("a profile to be applied")


def _used(marker: int, tables: dict[int, bytes], numbers: Sequence[int]) -> Iterator[bytes]:
    for number in sorted(set(numbers)):
        if number not in tables:
            raise _Unusual("a table is missing")
        yield _segment(marker, tables[number])


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
