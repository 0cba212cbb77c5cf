"""JPEG files: their segments, and rewriting one around its coefficients, so that no pixel changes.

Rewriting is for a photo that is upright and sRGB already: nothing but the picture is left. It is
strict: every byte of the file has to be accounted for, from one marker to the next. For whatever is
unusual the answer is None, and such a picture is decoded and encoded anew as any other. Format:
ITU-T T.81, annex B; JFIF: ITU-T T.871.
"""

import io
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

START, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
EXIF = b"Exif\0\0"
SCAN, END, CODED_DATA = 0xDA, 0xD9, 0x00  # no marker has 0: it follows 0xFF within coded data
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8}
FRAMES_OF_BROWSERS = {0xC0, 0xC1, 0xC2}
COMMENT_AND_APPLICATION = {0xFE, *range(0xE0, 0xF0)}
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_MARKER = re.compile(rb"\xff[\x01-\xfe]", re.DOTALL)
# Restarts (0xD0 to 0xD7) and fill bytes (0xFF) belong to the coded data that they stand in.
_END_OF_CODED_DATA = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)

_JFIF = b"\xff\xe0" + struct.pack(">H5sHBHHBB", 16, b"JFIF\0", 0x0101, 0, 1, 1, 0, 0)
_ANY_MARKER = re.compile(rb"\xff[^\x00]", re.DOTALL)
_HUFFMAN, _SEQUENTIAL, _QUANTIZATION = 0xC4, {0xC0, 0xC1}, 0xDB
_EXIF, _ICC, _ADOBE = (0xE1, EXIF), (0xE2, b"ICC_PROFILE\0"), (0xEE, b"Adobe")
_MAX_SEGMENTS = 200
_RGB = b"RGB"
_YCBCR = b"\x01"
_WHOLE_SPECTRUM = bytes([0, 63, 0])


class MalformedFile(Exception):
    """The file is not put together as its format demands."""


@dataclass(frozen=True)
class StrippedJpeg:
    """The file that is left: start, JFIF, the tables that are used, frame, scan, end.

    `exif` and `profile` are what was dropped and matters to whoever shows the picture.
    """

    data: bytes
    exif: bytes
    profile: bytes


class TrailingDataReader(io.BytesIO):
    """A rewritten file to decode, which notices bytes behind the last coefficient.

    There could be anything in them. The last byte of the scan is handed out alone: a decoder that
    has the whole picture without asking for it leaves at least that byte unused. As it looks ahead
    by up to 8 bytes, so many may pass.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._apart = len(data) - len(_END_OF_IMAGE) - 1
        self.was_needed = False

    def read(self, size: int | None = -1, /) -> bytes:
        # 0 or less: what is asked for is the last byte, which a whole picture does not need.
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
    profile: list[bytes] = field(default_factory=list)  # its pieces, each with its number before it
    adobe: bytes = b""


def segments(data: bytes, *, most: int) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment up to the end of the picture.

    Skips what stands between segments, as decoders do. The coded data after a scan's header comes
    as a segment of its own, CODED_DATA. An end may lie beyond the end of the data.

    Raises:
        MalformedFile: a segment is cut off in its length, or there are more than `most`.
    """
    position = len(START)
    for _segment in range(most):
        found = _MARKER.search(data, position)
        if found is None:
            return
        start, marker = found.start(), data[found.start() + 1]
        position = start + 2
        if marker == END:
            yield END, start, position
            return
        if marker in _STANDALONE:
            continue
        if start + 4 > len(data):
            raise MalformedFile("ends in a marker")
        (length,) = struct.unpack_from(">H", data, start + 2)
        # The two bytes of the length count themselves; less would lead back into the marker.
        if length < 2:
            raise MalformedFile("segment shorter than its own length")
        position += length
        yield marker, start, position
        if marker == SCAN:
            # After the yield: whoever stops at the first scan does not pay for the search.
            after = _END_OF_CODED_DATA.search(data, position)
            end = after.start() if after else len(data)
            yield CODED_DATA, position, end
            position = end
    raise MalformedFile("too many segments")


def strip_metadata(data: bytes) -> StrippedJpeg | None:
    """Return the JPEG without what is not its picture, or None if it has to be encoded anew.

    It can stay as it is coded when it is sequential, of one scan without restarts, 8 bits deep and
    grey or YCbCr. Neither the coefficients, the orientation nor the profile is looked at.
    """
    parts, expected = _Parts(), len(START)
    try:
        for marker, start, end in segments(data, most=_MAX_SEGMENTS):
            if start != expected or end > len(data):
                return None  # bytes between the segments, or a segment that is cut off
            body = data[start + 4 : end]
            if marker == SCAN:
                # After its name a piece has its number and their count, a byte each
                head = len(_ICC[1]) + 2
                profile = b"".join(piece[head:] for piece in sorted(parts.profile))
                return StrippedJpeg(_put_together(data, parts, body, end), parts.exif, profile)
            _take(parts, marker, body)
            expected = end
    except (_Unusual, MalformedFile, IndexError, struct.error):
        return None
    return None


def _take(parts: _Parts, marker: int, body: bytes) -> None:
    if marker == _QUANTIZATION:
        _take_tables(parts.quantization, _quantization_tables(body))
    elif marker == _HUFFMAN:
        _take_tables(parts.huffman, _huffman_tables(body))
    elif marker in _SEQUENTIAL and not parts.frame[0]:
        parts.frame = (marker, body)
    elif marker not in COMMENT_AND_APPLICATION:
        raise _Unusual("another way of coding")
    elif marker == _EXIF[0] and body.startswith(_EXIF[1]) and not parts.exif:
        parts.exif = body
    elif marker == _ICC[0] and body.startswith(_ICC[1]):
        parts.profile.append(body)
    elif marker == _ADOBE[0] and body.startswith(_ADOBE[1]):
        parts.adobe = body


def _take_tables(known: dict[int, bytes], tables: Iterator[tuple[int, bytes]]) -> None:
    for number, table in tables:
        if number in known:
            raise _Unusual("a table that comes twice")
        known[number] = table


def _quantization_tables(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and table of each quantization table."""
    position = 0
    while position < len(body):
        # Precision and number, four bits each, then 64 values of one or two bytes.
        end = position + (129 if body[position] >> 4 else 65)
        yield body[position] & 0x0F, _exactly(body, position, end)
        position = end


def _huffman_tables(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield class and number in one byte, and table, of each Huffman table."""
    position = 0
    while position < len(body):
        # How many codes there are of each of 16 lengths, then a value for each code.
        end = position + 17 + sum(body[position + 1 : position + 17])
        yield body[position], _exactly(body, position, end)
        position = end


def _exactly(body: bytes, start: int, end: int) -> bytes:
    if end > len(body):
        raise _Unusual("a table that is cut off")
    return body[start:end]


def _put_together(data: bytes, parts: _Parts, scan: bytes, coded_at: int) -> bytes:
    """Return the new file, of the header of a scan and the coded data that begins at `coded_at`."""
    marker, frame = parts.frame
    precision, height, width, count = struct.unpack_from(">BHHB", frame)
    is_plain = precision == 8 and height and width and count in (1, 3)
    if not is_plain or len(frame) != 6 + 3 * count:
        raise _Unusual("neither grey nor three colours of 8 bits")
    # Number and quantization table of each.
    components = [(frame[place], frame[place + 2]) for place in range(6, len(frame), 3)]
    names = bytes(number for number, _table in components)
    is_ycbcr = names != _RGB and (not parts.adobe or parts.adobe[11:12] == _YCBCR)
    # JFIF, which we write, says that three components are YCbCr.
    if len(components) == 3 and not is_ycbcr:
        raise _Unusual("colours that are not YCbCr")
    selectors = [scan[place : place + 2] for place in range(1, 1 + 2 * len(components), 2)]
    if scan[0] != len(components) or scan[1 + 2 * len(components) :] != _WHOLE_SPECTRUM:
        raise _Unusual("a scan of a part of the picture")
    if bytes(selector[0] for selector in selectors) != names:
        raise _Unusual("a scan of other components")
    # Any marker, restarts and fill bytes too: nothing but coefficients may be left in between.
    after = _ANY_MARKER.search(data, coded_at)
    if after is None or after.group() != _END_OF_IMAGE or after.start() == coded_at:
        raise _Unusual("not one scan up to the end")
    # Only tables that the picture needs: any other could carry bytes along.
    tables = [
        *_used(_QUANTIZATION, parts.quantization, [table for _number, table in components]),
        *_used(_HUFFMAN, parts.huffman, [selector[1] >> 4 for selector in selectors]),
        *_used(_HUFFMAN, parts.huffman, [0x10 | selector[1] & 0x0F for selector in selectors]),
    ]
    coded = memoryview(data)[coded_at : after.end()]
    return b"".join([START, _JFIF, *tables, _segment(marker, frame), _segment(SCAN, scan), coded])


def _used(marker: int, tables: dict[int, bytes], numbers: Sequence[int]) -> Iterator[bytes]:
    for number in sorted(set(numbers)):
        if number not in tables:
            raise _Unusual("a table is missing")
        yield _segment(marker, tables[number])


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
