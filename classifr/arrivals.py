"""A request as its bytes arrive: where it ends, and its bytes until then, in memory or on disk.

Only where a request ends is found out here, with what is needed for that. Whether it is a good one
gunicorn's parser decides, which gets exactly these bytes: one that looks wrong here counts as
whole, so that it is refused there.
"""

import re
import tempfile
from typing import Protocol

MAX_HEAD = 65_536
MAX_LINE = 8_192  # of those between chunks
IN_MEMORY_BYTES = 524_288  # of one request; what is longer waits in a temporary file

_SIZE = re.compile(rb"\s*([0-9A-Fa-f]{1,15})\s*(;.*)?\r?\n", re.DOTALL)
_HEAD_END = b"\r\n\r\n"


class Spool:
    """Bytes to write and then read; in a temporary file once they are many, or when told."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile()  # noqa: SIM115 (closed by `close`)
        self.size = 0
        self.is_on_disk = False

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self.size += len(data)
        if self.size > IN_MEMORY_BYTES:
            self.move_to_disk()

    def move_to_disk(self) -> None:
        if self.size and not self.is_on_disk:
            self._file.rollover()
            self.is_on_disk = True

    def read_at(self, place: int, size: int) -> bytes:
        self._file.seek(place)
        data = self._file.read(size)
        self._file.seek(self.size)  # where the next `write` goes on
        return data

    def close(self) -> None:
        self._file.close()
        self.size = 0


class Framing(Protocol):
    is_done: bool

    def take(self, data: memoryview) -> int:
        """Go on by these bytes, and return how many of them belong to the body."""


class _OfLength:
    """A body whose length was announced."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_done = length == 0

    def take(self, data: memoryview) -> int:
        taken = min(self._left, len(data))
        self._left -= taken
        self.is_done = self._left == 0
        return taken


class _Chunked:
    """A body in chunks, each with its size before it; RFC 9112, section 7.1."""

    def __init__(self) -> None:
        self.is_done = False
        self._line = bytearray()
        self._left = 0  # of the chunk, with the line break after it
        self._is_trailer = False

    def take(self, data: memoryview) -> int:
        place = 0
        while place < len(data) and not self.is_done:
            if self._left:
                step = min(self._left, len(data) - place)
                self._left -= step
            else:
                line = bytes(data[place : place + MAX_LINE])
                end = line.find(b"\n") + 1
                step = end or len(line)
                self._line += line[:step]
                if end:
                    self._end_line(bytes(self._line))
                    self._line.clear()
                elif len(self._line) > MAX_LINE:
                    self.is_done = True  # for gunicorn's parser to refuse
            place += step
        return place

    def _end_line(self, line: bytes) -> None:
        if self._is_trailer:
            self.is_done = line in {b"\r\n", b"\n"}
        elif found := _SIZE.fullmatch(line):
            # A chunk of size 0 is the last one; lines up to an empty one follow it.
            size = int(found[1], 16)
            self._is_trailer = size == 0
            self._left = size and size + 2
        else:
            self.is_done = True


class Arrival:
    """One request, from its first byte until it is whole.

    `refusal` is the status of an answer that is due before that, as nobody would read the rest.
    """

    def __init__(self, longest: int) -> None:
        self.spool = Spool()
        self.is_whole = False
        self.refusal = ""
        self.wants_continue = False
        self.rest = b""  # what came after its end, of the next one
        self._longest = longest
        self._head = bytearray()
        self._body: Framing | None = None

    @property
    def size(self) -> int:
        return len(self._head) + self.spool.size

    def move_to_disk(self) -> None:
        """Keep what is there in a temporary file, if there is room for it."""
        try:
            self.spool.move_to_disk()
        except OSError:
            self.refusal = "503 Service Unavailable"

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes in. Raises OSError when there is no room for them."""
        if self._body is None:
            # The end may lie across two pieces, so that the last bytes are looked at once more.
            looked_through = max(0, len(self._head) - len(_HEAD_END) + 1)
            self._head += data
            end = self._head.find(_HEAD_END, looked_through)
            if end < 0 or end > MAX_HEAD:
                if len(self._head) > MAX_HEAD:
                    self.refusal = "431 Request Header Fields Too Large"
                return
            end += len(_HEAD_END)
            head, data = bytes(self._head[:end]), bytes(self._head[end:])
            self._head.clear()
            self.spool.write(head)
            self._body = self._framing(head)
        if self.refusal:
            return
        body = memoryview(data)
        taken = self._body.take(body)
        if self.spool.size + taken > self._longest:
            self.refusal = "413 Content Too Large"
            return
        self.spool.write(body[:taken])
        self.is_whole = self._body.is_done
        if self.is_whole:
            self.rest = bytes(body[taken:])

    def _framing(self, head: bytes) -> Framing:
        # All of them: two lengths, or a length beside a coding, are how requests are smuggled.
        lengths, codings = [], []
        for line in head.split(b"\r\n")[1:]:
            name, _colon, value = line.partition(b":")
            match name.strip().lower():
                case b"content-length":
                    lengths.append(value.strip())
                case b"transfer-encoding":
                    codings.append(value.strip().lower())
                case b"expect":
                    self.wants_continue = value.strip().lower() == b"100-continue"
        if codings and not lengths and codings[-1].endswith(b"chunked"):
            return _Chunked()
        if codings or len(lengths) != 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
            return _OfLength(0)  # no body, or one that is refused
        if int(lengths[0]) > self._longest:
            self.refusal = "413 Content Too Large"
        return _OfLength(int(lengths[0]))
