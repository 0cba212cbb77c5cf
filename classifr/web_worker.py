"""A web process: gunicorn's threads, for which no client is too slow; its end harms no file."""

import errno
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.config import Config
from gunicorn.errors import ConfigError
from gunicorn.workers.gthread import (
    STOP_KEEPALIVE_LINGER,
    PollableMethodQueue,
    ThreadWorker,
)

from classifr.connections import READ_BYTES, Connection, Limits
from common import processes

LOOK_SECONDS = 0.5
MAX_BYTES_IN_MEMORY = 32_000_000  # of requests that are arriving, together
MAX_BYTES_ON_DISK = 1_000_000_000
NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
NOBODY_THERE = {errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED}


class _PipeForLife(PollableMethodQueue):
    """Wakes the loop of a process by a byte in a pipe, which stays open until the process is gone.

    A thread that ends its request writes that byte, however late. Were the pipe closed at the end
    of the loop, as gunicorn does it, its number could be the database by then, or a picture.
    """

    def close(self) -> None:
        pass


class WebWorker(ThreadWorker):
    """Gives threads nothing but whole requests, and ends within its grace whatever they are at.

    gunicorn's own class reads from the client in a thread, for as long as that takes. Here the loop
    reads, and sends what a client does not take at once: see `connections`. A connection is either
    with a thread or among those that `waiting` holds, and touched by nobody else.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.method_queue = _PipeForLife()
        self.limits: Limits
        # And for what: selectors.EVENT_READ or EVENT_WRITE.
        self.waiting: dict[Connection, int] = {}
        self._buffer = bytearray(READ_BYTES)
        self._look_at = 0.0

    @classmethod
    def check_config(cls, cfg: Config, log: Any) -> None:
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise ConfigError(
                "Classifr's web server speaks plain HTTP: HTTPS is for a proxy in front of it."
            )

    def run(self) -> None:
        if not hasattr(self, "limits"):  # known only now that the application is loaded
            self.limits = Limits.from_settings()
        try:
            super().run()
        except SystemExit as told:  # by SIGQUIT, SIGINT or SIGABRT
            processes.exit_immediately(told.code if isinstance(told.code, int) else 1)
        except Exception:
            self.log.exception("The loop of this web process failed; leaving")
            processes.exit_immediately(1)
        if self.nr_conns:
            # Python would wait for the threads, for as long as they like, and then for those that
            # wait for a thread
            self.log.warning(
                "%s requests outlasted their grace; leaving without them", self.nr_conns
            )
            processes.exit_immediately()

    def accept(self, listener: Any) -> None:
        try:
            connected, client = listener.accept()
        except OSError as error:
            if error.errno in NO_ROOM:
                self._make_room_for_one()
            elif error.errno not in NOBODY_THERE:
                raise
            return
        self.nr_conns += 1
        connection = Connection(self.cfg, connected, client, listener.getsockname(), self.limits)
        self._receive(connection)  # the request is there as a rule, so that no round is lost
        if self.nr_conns >= self.worker_connections:
            self._make_room_for_one()

    def _receive(self, connection: Connection, _socket: object = None) -> None:
        """Take in what has come on a connection, and go on with it as far as that allows."""
        if not connection.receive(self._buffer):
            self._end(connection)
        elif not connection.is_lingering:
            self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        if connection.arrival.refusal:
            self._refuse(connection, connection.arrival.refusal)
        elif connection.arrival.is_whole:
            self._stop_waiting(connection)
            self.enqueue_req(connection)
        else:
            self._wait(connection, selectors.EVENT_READ, self._receive)

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
        """Go on with a connection that a thread is done with. Called in the loop."""
        goes_on = not fs.cancelled() and fs.exception() is None and bool(fs.result())
        # Where the parser saw another end than we did, what follows is no request: it is not read.
        conn.has_to_close = not (goes_on and conn.is_understood)
        conn.forget_request()
        if conn.stream.is_broken:
            self._end(conn)
        else:
            self._send_on(conn)

    def _send_on(self, connection: Connection, _socket: object = None) -> None:
        """Send what is kept of an answer; when all is out, await the next request or the end."""
        try:
            is_sent = connection.stream.flush()
        except OSError:
            self._end(connection)
            return
        if not is_sent:
            if connection not in self.waiting:
                connection.pace.start(connection.moved, connection.limits.seconds)
            self._wait(connection, selectors.EVENT_WRITE, self._send_on)
        elif connection.has_to_close:
            try:
                connection.linger()
            except OSError:
                self._end(connection)
            else:
                self._wait(connection, selectors.EVENT_READ, self._receive)
        else:
            # A process that ends grants a short silence, for a request that is on its way.
            seconds = (
                self.cfg.keepalive if self.alive else min(self.cfg.keepalive, STOP_KEEPALIVE_LINGER)
            )
            connection.expect_request(connection.arrival.rest, seconds)
            self._go_on(connection)

    def _refuse(self, connection: Connection, status: str) -> None:
        """Answer without the application, and end the connection."""
        self.log.info("%s to %s", status, connection.client)
        connection.has_to_close = True
        connection.forget_request()
        retry = "Retry-After: 10\r\n" if status.startswith("503") else ""
        answer = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain\r\n{retry}"
        text = f"{status.partition(' ')[2]}\n"
        try:
            connection.stream.sendall(f"{answer}Content-Length: {len(text)}\r\n\r\n{text}".encode())
        except OSError:
            self._end(connection)
            return
        self._send_on(connection)

    def _wait(self, connection: Connection, event: int, then: Callable[..., None]) -> None:
        before = self.waiting.get(connection)
        if before is None:
            self.poller.register(connection.stream, event, partial(then, connection))
        elif before != event:
            self.poller.modify(connection.stream, event, partial(then, connection))
        self.waiting[connection] = event

    def _stop_waiting(self, connection: Connection) -> None:
        if self.waiting.pop(connection, None) is not None:
            self.poller.unregister(connection.stream)

    def _end(self, connection: Connection) -> None:
        self._stop_waiting(connection)
        self.nr_conns -= 1
        connection.close()

    def murder_pending(self) -> None:
        """End what does not keep pace, every now and then, and see to it that there is room."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        for connection in list(self.waiting):
            if not connection.pace.is_kept(connection.moved, now):
                self._give_up(connection, "408 Request Timeout")
        # What is too much in memory goes to the disk, what is too much there is refused: the
        # longest first, so that as few clients as possible notice.
        by_size = sorted(
            self.waiting, key=lambda one: one.bytes_in_memory + one.bytes_on_disk, reverse=True
        )
        in_memory = sum(one.bytes_in_memory for one in by_size)
        for connection in by_size:
            if in_memory > MAX_BYTES_IN_MEMORY:
                in_memory -= connection.bytes_in_memory
                connection.arrival.move_to_disk()
        on_disk = sum(one.bytes_on_disk for one in by_size)
        for connection in by_size:
            if on_disk > MAX_BYTES_ON_DISK:
                on_disk -= connection.bytes_on_disk
                self._give_up(connection, "503 Service Unavailable")

    def _give_up(self, connection: Connection, status: str) -> None:
        is_arriving = not (
            connection.is_idle or connection.is_lingering or connection.stream.has_more_to_send
        )
        if is_arriving:
            self._refuse(connection, status)
        else:
            self._end(connection)

    def _make_room_for_one(self) -> None:
        """End the connection that waits longest, rather one that has been answered.

        Not one that has only just come: its first bytes are on their way, and who begins many
        requests and ends none would lock everybody else out.
        """
        # A dict keeps the order in which they began to wait.
        chosen = next((one for one in self.waiting if one.is_kept_alive or one.is_lingering), None)
        chosen = chosen or next(iter(self.waiting), None)
        if chosen is not None:
            self._end(chosen)
        else:
            # All are with threads; not to ask for a connection again and again meanwhile
            time.sleep(0.05)

    def _cap_keepalive(self, deadline: float) -> None:
        # Called by gunicorn when this process is told to end.
        for connection in self.waiting:
            if connection.is_idle or connection.is_lingering:
                connection.pace.until = min(connection.pace.until, deadline)
