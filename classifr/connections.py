"""Connections to clients that may be as slow as they like: no thread ever waits for one of them.

The loop of the process reads a request until it is whole, and only then a thread has it. What the
thread answers goes out as far as the client takes it at once; the rest is kept, and the loop sends
it.
"""

import errno
import os
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Self

from gunicorn.http import get_parser
from gunicorn.http.unreader import Unreader
from gunicorn.workers.gthread import TConn

from classifr.arrivals import Arrival, Spool

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HEAD_BYTES = 8_192
READ_BYTES = 262_144
SEND_BYTES = 262_144
LINGER_SECONDS = 2.0  # for a client that still sends when its answer is out; RFC 9112, section 9.6
MAX_KEPT_BYTES = 64_000_000  # of an answer; beyond it the thread waits for its client after all


@dataclass(frozen=True)
class Limits:
    """What is granted to a client.

    Args:
        seconds: for the head of a request, and again and again for so many bytes as the rate says.
        bytes_per_second: that a client must take or send at least.
        longest: bytes of a request.
    """

    seconds: float
    bytes_per_second: int
    longest: int

    @classmethod
    def from_settings(cls) -> Self:
        from django.conf import settings

        from common.media.upload_handlers import longest_body

        return cls(settings.CLIENT_SECONDS, settings.CLIENT_BYTES_PER_SECOND, longest_body())


class Pace:
    """Whether a client keeps up: in each stretch of `seconds` it must move as the rate says."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.start(0, limits.seconds)

    def start(self, moved: int, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self._moved = moved

    def is_kept(self, moved: int, now: float) -> bool:
        """Say whether the client may go on, having moved so many bytes so far."""
        if now < self.until:
            return True
        if moved - self._moved < self._limits.seconds * self._limits.bytes_per_second:
            return False
        self.start(moved, self._limits.seconds)
        return True


class ClientSocket:
    """A socket as gunicorn's threads use it, whose client need not be there.

    It never blocks, whatever it is told, and nothing that a thread does closes it: that is the
    loop's.
    """

    def __init__(self, connected: socket.socket, limits: Limits) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._limits = limits
        self._kept: Spool | None = None
        self._sent_of_kept = 0
        self._has_said_continue = False
        self.sent = 0
        self.is_broken = False

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def has_more_to_send(self) -> bool:
        return self._kept is not None

    @property
    def kept(self) -> int:
        return self._kept.size if self._kept else 0

    def recv(self, size: int) -> bytes:
        return self._socket.recv(size)

    def recv_into(self, buffer: bytearray) -> int:
        return self._socket.recv_into(buffer)

    def say_continue(self) -> None:
        self._has_said_continue = True
        self.sendall(CONTINUE)

    def send(self, data: bytes) -> int:
        # gunicorn says it as well, when it reads the body; a client must not get it twice.
        if data != CONTINUE or not self._has_said_continue:
            self.sendall(data)
        return len(data)

    def sendall(self, data: bytes | memoryview) -> None:
        """Send what the client takes now, and keep the rest. Raises OSError if it is gone."""
        data = memoryview(data)
        # While something is kept, what follows has to queue behind it.
        if self._kept is None:
            while data and (sent := self._send_some(data)):
                data = data[sent:]
        if not data:
            return
        self._kept = self._kept or Spool()
        self._kept.write(data)
        pace, waiting = Pace(self._limits), select.poll()
        waiting.register(self._socket, select.POLLOUT)
        # The one place where a thread waits for a client, or an answer without end fills the disk.
        while self._kept and self._kept.size - self._sent_of_kept > MAX_KEPT_BYTES:
            waiting.poll(1000)  # milliseconds
            if not pace.is_kept(self.sent, time.monotonic()):
                self.is_broken = True
                raise OSError(errno.EPIPE, "The client does not take its answer")
            self.flush()

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> None:
        file.seek(offset)
        left = os.fstat(file.fileno()).st_size - offset if count is None else count
        while left > 0 and (data := file.read(min(left, SEND_BYTES))):
            self.sendall(data)
            left -= len(data)

    def _send_some(self, data: bytes | memoryview) -> int:
        """Return how many bytes the client took; 0 if it takes none now."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.is_broken = True
            raise
        self.sent += sent
        return sent

    def flush(self) -> bool:
        """Send of what was kept as much as the client takes now; return whether nothing is left."""
        while self._kept:
            data = self._kept.read_at(self._sent_of_kept, SEND_BYTES)
            sent = self._send_some(data) if data else 0
            self._sent_of_kept += sent
            if self._sent_of_kept == self._kept.size:
                self._kept.close()
                self._kept, self._sent_of_kept = None, 0
            elif not sent:
                return False
        return True

    def end_sending(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def really_close(self) -> None:
        if self._kept:
            self._kept.close()
        self._socket.close()

    # What gunicorn would do by itself at the end of a request

    def gettimeout(self) -> float:
        return 0.0

    def settimeout(self, seconds: float | None) -> None:
        pass

    def setblocking(self, flag: bool) -> None:
        pass

    def shutdown(self, how: int) -> None:
        raise OSError(errno.ENOTCONN, "Connections are ended by the loop")

    def close(self) -> None:
        pass


class _WholeRequest(Unreader):
    """Where gunicorn's parser reads: one request that has arrived, then its end."""

    def __init__(self) -> None:
        super().__init__()
        self._spool: Spool | None = None
        self._read = 0

    def turn_to(self, spool: Spool) -> None:
        self._spool, self._read = spool, 0

    @property
    def is_read(self) -> bool:
        """Whether the parser saw the end of the request where we saw it."""
        return not self.buf.getvalue() and (self._spool is None or self._read == self._spool.size)

    def chunk(self, size_hint: int | None = None) -> bytes:
        return self._take(min(max(size_hint or 0, HEAD_BYTES), READ_BYTES))

    def read(self, size: int | None = None, read_ahead: int | None = None) -> bytes:
        """Return so many bytes, or some; fewer at the end."""
        # Copied once; gunicorn's own does it four times.
        unread = self.take_buffered()
        if size is None or size < 0:
            return unread or self.chunk(read_ahead)
        if len(unread) > size:
            self.unread(unread[size:])
            return unread[:size]
        return unread + self._take(size - len(unread))

    def _take(self, size: int) -> bytes:
        data = self._spool.read_at(self._read, size) if self._spool and size else b""
        self._read += len(data)
        return data


class Connection(TConn):
    """A connection, and the request on it."""

    def __init__(
        self, cfg: Any, connected: socket.socket, client: Any, server: Any, limits: Limits
    ) -> None:
        self.stream = ClientSocket(connected, limits)
        self.initialized: bool
        super().__init__(cfg, self.stream, client, server)
        self.limits = limits
        self.data_ready = True  # for gunicorn's `handle`, which would wait otherwise
        self.has_to_close = False
        self.is_lingering = False
        self.pace = Pace(limits)
        self.arrival: Arrival
        self._unreader = _WholeRequest()
        self.expect_request(b"", limits.seconds)

    def init(self) -> None:
        """Have a parser read the request that has arrived. Called by the thread that has it."""
        if not self.initialized:
            self.parser: Any = get_parser(self.cfg, self.stream, self.client)
            self.parser.unreader = self._unreader
        self.initialized = True
        self._unreader.turn_to(self.arrival.spool)

    @property
    def is_idle(self) -> bool:
        """Whether it waits for the first byte of a request."""
        return self.arrival.size == 0 and not self.is_lingering and not self.stream.has_more_to_send

    @property
    def is_kept_alive(self) -> bool:
        """Whether it has been answered, and waits for another request."""
        return self.is_idle and self.initialized

    @property
    def moved(self) -> int:
        return self.stream.sent if self.stream.has_more_to_send else self.arrival.size

    @property
    def bytes_in_memory(self) -> int:
        return 0 if self.arrival.spool.is_on_disk else self.arrival.size

    @property
    def bytes_on_disk(self) -> int:
        arriving = self.arrival.spool.size if self.arrival.spool.is_on_disk else 0
        return arriving + self.stream.kept

    @property
    def is_understood(self) -> bool:
        """Whether the parser read the request to its end, so that the next one can follow."""
        return self._unreader.is_read

    def expect_request(self, data: bytes, seconds: float) -> None:
        """Begin with the next request, of which these bytes are there already."""
        self.arrival = Arrival(self.limits.longest)
        self.pace.start(0, seconds)
        if data:
            self.take_in(data)

    def receive(self, buffer: bytearray) -> bool:
        """Take in what has come, by way of this buffer; return False when the client has gone."""
        try:
            size = self.stream.recv_into(buffer)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if size and not self.is_lingering:
            self.take_in(memoryview(buffer)[:size])
        return size > 0

    def take_in(self, data: bytes | memoryview) -> None:
        # The first byte of a request: what was granted for silence between two ends here.
        if self.is_idle:
            self.pace.start(0, self.limits.seconds)
        try:
            self.arrival.feed(data)
        except OSError:
            self.arrival.refusal = "503 Service Unavailable"
        if self.arrival.wants_continue and not (self.arrival.is_whole or self.arrival.refusal):
            self.arrival.wants_continue = False
            with suppress(OSError):  # the client has gone, which the next look at it tells
                self.stream.say_continue()

    def linger(self) -> None:
        """Say that nothing more comes, and wait a little for the client to hear it."""
        self.is_lingering = True
        self.pace.start(0, LINGER_SECONDS)
        self.stream.end_sending()

    def forget_request(self) -> None:
        self.arrival.spool.close()

    def close(self, graceful: bool = False) -> None:
        self.arrival.spool.close()
        self.stream.really_close()
