"""A closed-loop load: N clients, each with one connection, each sending its next request when the
last is answered.

The clients share the cores with the server, so they must cost little: one thread, plain sockets, no
copy of a body.
"""

import selectors
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Load:
    """What a server did under a load: answers per second, the latencies' percentiles in
    milliseconds.

    `client_ms` is the processor time that the clients themselves took for a request.
    """

    per_second: float
    p50: float
    p95: float
    p99: float
    answers: int
    client_ms: float


@dataclass(frozen=True)
class Address:
    """Where requests go, and what they say of themselves. The bodies are another matter."""

    port: int
    path: str
    headers: Mapping[str, str]

    def head(self, length: int) -> bytes:
        """Return everything of a request before its body."""
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Content-Length: {length}",
        ]
        return "\r\n".join(
            [*lines, *(f"{name}: {value}" for name, value in self.headers.items()), "", ""]
        ).encode()


def run(address: Address, bodies: Iterator[bytes], *, clients: int, seconds: float) -> Load:
    """Send requests for some seconds.

    Raises:
        RuntimeError: at the first answer that is no success: a server that refuses quickly must not
            look fast.
    """
    latencies: list[float] = []
    started, cpu = time.perf_counter(), time.process_time()
    ends_at = started + seconds
    with selectors.DefaultSelector() as selector:
        for _number in range(clients):
            _Client(address, bodies, selector).send()
        while selector.get_map():
            ready = selector.select(timeout=TIMEOUT_SECONDS)
            if not ready:
                raise RuntimeError(f"{address.path} has not answered for {TIMEOUT_SECONDS:.0f} s")
            for key, mask in ready:
                client: _Client = key.data
                if mask & selectors.EVENT_WRITE:
                    client.send_more()
                elif (took := client.receive()) is not None:
                    latencies.append(took * 1000)
                    if time.perf_counter() < ends_at:
                        client.send()
                    else:
                        client.close()
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99])
    count = len(latencies)
    return Load(count / elapsed, float(p50), float(p95), float(p99), count, cpu / count * 1000)


def median(loads: Sequence[Load]) -> Load:
    """Return the medians of several rounds, figure by figure."""
    return Load(
        *(
            float(np.median([getattr(load, name) for load in loads]))
            for name in Load.__annotations__
        )
    )


def one_answer(address: Address, body: bytes) -> bytes:
    """Send one request and return the body of its answer. Raises RuntimeError when that is no
    success.
    """
    with selectors.DefaultSelector() as selector:
        client = _Client(address, iter([body]), selector)
        client.send()
        while ready := selector.select(timeout=TIMEOUT_SECONDS):
            for _key, mask in ready:
                if mask & selectors.EVENT_WRITE:
                    client.send_more()
                elif client.receive() is not None:
                    client.close()
                    return client.answer
    raise RuntimeError(f"{address.path} has not answered for {TIMEOUT_SECONDS:.0f} s")


@dataclass
class _Client:
    """One connection with at most one request under way; opened anew where the server closes it
    after an answer.
    """

    address: Address
    bodies: Iterator[bytes]
    selector: selectors.BaseSelector
    answer: bytes = b""
    _connection: socket.socket | None = None
    _unsent: list[memoryview] = field(default_factory=list)
    _received: bytearray = field(default_factory=bytearray)
    _sent_at: float = 0.0

    def send(self) -> None:
        """Begin the next request."""
        body = next(self.bodies)
        self._received.clear()
        self._sent_at = time.perf_counter()
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self.address.port))
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.setblocking(False)
            self.selector.register(self._connection, selectors.EVENT_READ, self)
        self._unsent = [memoryview(self.address.head(len(body))), memoryview(body)]
        self.send_more()

    def send_more(self) -> None:
        """Send as much as the socket takes; come back for the rest when it takes more."""
        assert self._connection is not None
        try:
            sent = self._connection.sendmsg(self._unsent)
        except BlockingIOError:
            sent = 0
        while self._unsent and sent >= len(self._unsent[0]):
            sent -= len(self._unsent.pop(0))
        if self._unsent:
            self._unsent[0] = self._unsent[0][sent:]
        events = selectors.EVENT_WRITE if self._unsent else selectors.EVENT_READ
        if self.selector.get_key(self._connection).events != events:
            self.selector.modify(self._connection, events, self)

    def receive(self) -> float | None:
        """Take in what has come; return the seconds from sending to the end of the answer, or None
        before that.

        Raises:
            RuntimeError: the answer is no success, or the connection ended within it.
        """
        assert self._connection is not None
        data = self._connection.recv(65536)
        self._received += data
        answer = parsed(bytes(self._received))
        if answer is None:
            if not data:
                raise RuntimeError(f"{self.address.path}: the connection ended within an answer")
            return None
        status, self.answer, stays_open = answer
        if not 200 <= status < 300:
            raise RuntimeError(f"{self.address.path} answered {status}: {self.answer[:300]!r}")
        took = time.perf_counter() - self._sent_at
        if not stays_open:
            self.close()
        return took

    def close(self) -> None:
        if self._connection is not None:
            self.selector.unregister(self._connection)
            self._connection.close()
            self._connection = None


def parsed(received: bytes) -> tuple[int, bytes, bool] | None:
    """Return status, body and whether the connection stays open; None while the answer is not
    complete.

    Knows bodies with a Content-Length and chunked ones.
    """
    head, separator, rest = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    first, *lines = head.split(b"\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _colon, value in (line.partition(b":") for line in lines)
    }
    stays_open = headers.get(b"connection", b"").lower() != b"close" and first.startswith(
        b"HTTP/1.1"
    )
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = _from_chunks(rest)
    else:
        length = int(headers.get(b"content-length", b"0"))
        body = rest[:length] if len(rest) >= length else None
    return None if body is None else (int(first.split()[1]), body, stays_open)


def _from_chunks(rest: bytes) -> bytes | None:
    body = b""
    while True:
        size, separator, rest = rest.partition(b"\r\n")
        if not separator:
            return None
        length = int(size.split(b";")[0], 16)
        if len(rest) < length + 2:
            return None
        if not length:
            return body
        body, rest = body + rest[:length], rest[length + 2 :]
