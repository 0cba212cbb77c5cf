"""A web process that ends under way harms no file, and no slow client keeps it from others."""

import hashlib
import http.client
import os
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from gunicorn.config import Config
from gunicorn.errors import ConfigError
from gunicorn.glogging import Logger

from classifr import web_worker
from classifr.connections import Limits
from classifr.web_worker import WebWorker
from common import processes
from scripts.services import wait_until

pytestmark = pytest.mark.slow

LONG_ANSWER = random.Random(0).randbytes(20_000_000)  # more than the kernel keeps for a client
GENEROUS = Limits(seconds=60, bytes_per_second=1, longest=10_000_000)


def request(path: str = "/", *lines: str, body: bytes = b"") -> bytes:
    method = "POST" if body or lines else "GET"
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines])
    return f"{head}\r\n\r\n".encode() + body


def answer_of(client: socket.socket) -> tuple[int, bytes]:
    answer = http.client.HTTPResponse(client)
    answer.begin()
    return answer.status, answer.read()


def is_ended(client: socket.socket) -> bool:
    try:
        return client.recv(1000) == b""
    except ConnectionError:
        return True


class Application:
    """Answers a request as its path says, and counts those that it has begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.go_on = threading.Event()

    def wsgi(self) -> Callable:
        return self

    def __call__(self, environ: dict, start_response: Callable) -> list[bytes]:
        self.begun += 1
        body = environ["wsgi.input"].read()
        match environ["PATH_INFO"]:
            case "/wait":
                assert self.go_on.wait(30)
                answer = b"ok"
            case "/digest":
                answer = hashlib.sha256(body).hexdigest().encode()
            case "/long":
                answer = LONG_ANSWER
            case _:
                answer = b"ok"
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]


class Process:
    """A web process without the process: its loop runs in a thread, and its end is noted."""

    def __init__(self, limits: Limits = GENEROUS, **settings: object) -> None:
        config = Config()
        for name, value in settings.items():
            config.set(name, value)
        self.application = Application()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.worker = WebWorker(
            1, os.getppid(), [self.listening], self.application, 30, config, Logger(config)
        )
        self.worker.wsgi = self.application
        self.worker.limits = limits
        self.worker.tpool = self.worker.get_thread_pool()
        self.worker.poller = selectors.DefaultSelector()
        self.worker.method_queue.init()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self.left_with: list[object] = []

    def _run(self) -> None:
        try:
            self.worker.run()
        except SystemExit as told:
            self.left_with.append(told.code)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.listening.getsockname(), timeout=30)

    def ask(self, path: str = "/wait") -> socket.socket:
        client = self.connect()
        client.sendall(request(path))
        return client

    def answers(self) -> bool:
        """Whether it answers somebody who comes now; waits long enough for any machine."""
        with self.ask("/") as client:
            return answer_of(client) == (200, b"ok")

    def end(self) -> None:
        self.worker.handle_exit(15, None)
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def start(monkeypatch) -> Iterator[Callable[..., Process]]:
    """`start(limits, threads=...)`: a process that is ended after the test."""

    def note(code: int = 0) -> None:
        raise SystemExit(f"left at once with {code}")

    monkeypatch.setattr(processes, "exit_immediately", note)
    monkeypatch.setattr(web_worker, "LOOK_SECONDS", 0.05)
    made: list[Process] = []

    def make(limits: Limits = GENEROUS, **settings: object) -> Process:
        made.append(Process(limits, **({"threads": 2, "graceful_timeout": 0} | settings)))
        return made[-1]

    yield make
    for process in made:
        process.application.go_on.set()
        process.end()
        process.worker.tpool.shutdown()
        process.listening.close()


@pytest.fixture
def process(start) -> Process:
    return start()


def test_no_descriptor_of_it_is_free_while_a_request_is_under_way(process, tmp_path):
    """The kernel gives a new file the lowest free number, such as one closed at the end."""
    with process.ask(), process.ask(), process.ask():
        wait_until(lambda: process.application.begun == 2, "two requests at work")
        process.end()
        opened = [open(tmp_path / str(number), "wb", buffering=0) for number in range(20)]  # noqa: SIM115
        process.application.go_on.set()
        process.worker.tpool.shutdown()
    for file in opened:
        file.close()
    assert {path.read_bytes() for path in Path(tmp_path).iterdir()} == {b""}


def test_it_leaves_at_once_when_requests_outlast_their_grace(process):
    with process.ask():
        wait_until(lambda: process.application.begun == 1, "a request at work")
        process.end()
    assert process.left_with == ["left at once with 0"]


def test_it_ends_by_itself_when_all_are_answered(process):
    assert process.answers()
    wait_until(lambda: process.worker.nr_conns == 0, "the end of the connection")
    process.end()
    assert process.left_with == []


@pytest.mark.parametrize(("told", "code"), [("handle_quit", 0), ("handle_abort", 1)])
def test_what_is_told_to_end_at_once_does(process, told, code):
    with process.ask():
        wait_until(lambda: process.application.begun == 1, "a request at work")
        process.worker.method_queue.defer(getattr(process.worker, told), 3, None)
        process.thread.join(30)
    assert process.left_with == [f"left at once with {code}"]


BEGINNINGS = {
    "nothing": b"",
    "a head": b"GET / HTTP/1.1\r\nHost: loc",
    "a body": request("/digest", "Content-Length: 1000", body=b"x"),
    "a chunk": request("/digest", "Transfer-Encoding: chunked", body=b"3e8\r\nx"),
    "a long body": request("/digest", "Content-Length: 3000000", body=b"x" * 2_000_000),
}


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=list(BEGINNINGS))
def test_clients_that_send_slowly_keep_nobody_waiting(process, beginning):
    with ExitStack() as slow:
        clients = [slow.enter_context(process.connect()) for _number in range(24)]
        for client in clients:
            client.sendall(beginning)
        assert process.answers()
        assert process.application.begun == 1, "no thread was given what is not whole"
        for client in clients:
            client.sendall(b"x")
        assert process.answers()


def test_clients_that_do_not_read_keep_nobody_waiting(process):
    with ExitStack() as slow:
        clients = [slow.enter_context(process.ask("/long")) for _number in range(8)]
        wait_until(lambda: process.application.begun == 8, "all of them at the application")
        assert process.answers()
        for client in clients:
            assert answer_of(client) == (200, LONG_ANSWER)


def test_clients_that_stay_after_the_end_keep_nobody_waiting(process):
    """gunicorn's loop waits for each of them, up to two seconds."""
    with ExitStack() as slow:
        for _number in range(24):
            client = slow.enter_context(process.connect())
            client.sendall(request("/", "Connection: close"))
            assert answer_of(client) == (200, b"ok")
        assert process.answers()
        # On a busy machine the first of them may have been ended by now
        assert process.worker.waiting, "they are still there"


@pytest.mark.parametrize(
    "beginning", [BEGINNINGS["a head"], BEGINNINGS["a body"], BEGINNINGS["a chunk"]]
)
def test_who_is_too_slow_is_told_and_ended(start, beginning):
    process = start(Limits(seconds=0.2, bytes_per_second=1_000_000, longest=10_000_000))
    with process.connect() as client:
        client.sendall(beginning)
        assert answer_of(client) == (408, b"Request Timeout\n")
        assert is_ended(client)
    assert process.application.begun == 0


def test_who_says_nothing_is_ended_without_a_word(start):
    process = start(Limits(seconds=0.2, bytes_per_second=1, longest=10_000_000))
    with process.connect() as client:
        assert is_ended(client)


def test_who_does_not_take_an_answer_is_ended(start):
    process = start(Limits(seconds=0.2, bytes_per_second=1_000_000, longest=10_000_000))
    with process.ask("/long") as client:
        wait_until(
            lambda: process.application.begun == 1 and process.worker.nr_conns == 0, "the end"
        )
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer_of(client)


def test_who_keeps_pace_may_take_long(start):
    process = start(Limits(seconds=2, bytes_per_second=1, longest=10_000_000))
    body = random.Random(1).randbytes(12)
    with process.connect() as client:
        client.sendall(request("/digest", f"Content-Length: {len(body)}"))
        for place in range(len(body)):
            time.sleep(0.25)  # longer than the two seconds, all in all
            client.sendall(body[place : place + 1])
        assert answer_of(client) == (200, hashlib.sha256(body).hexdigest().encode())


@pytest.mark.parametrize("size", [1, 1000, 500_000, 3_000_000])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_the_application_gets_every_byte(process, size, is_chunked):
    body = random.Random(size).randbytes(size)
    digest = hashlib.sha256(body).hexdigest().encode()
    with process.connect() as client:
        for _time in range(2):
            if is_chunked:
                pieces = [body[place : place + 70_000] for place in range(0, size, 70_000)]
                sent = (
                    b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
                    + b"0\r\n\r\n"
                )
                client.sendall(request("/digest", "Transfer-Encoding: chunked", body=sent))
            else:
                client.sendall(request("/digest", f"Content-Length: {size}", body=body))
            assert answer_of(client) == (200, digest)


def test_requests_at_once_are_answered_in_order(process):
    with process.connect() as client:
        bodies = [b"one", b"two", b"three"]
        client.sendall(
            b"".join(
                request("/digest", f"Content-Length: {len(body)}", body=body) for body in bodies
            )
        )
        stream = client.makefile("rb")
        for body in bodies:
            while stream.readline() != b"\r\n":
                pass
            assert stream.read(64) == hashlib.sha256(body).hexdigest().encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("/", "Content-Length: 10000001"), 413),
        (request("/", "Transfer-Encoding: chunked", body=b"ffffffff\r\n" + b"x" * 11_000_000), 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
        (request("/", "Content-Length: some"), 400),
        (request("/", "Content-Length: 1", "Content-Length: 1", body=b"x"), 400),
        (request("/", "Content-Length: 3", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
        (request("/", "Transfer-Encoding: chunked", body=b"z\r\n\r\n"), 400),
    ],
)
def test_what_is_too_long_or_wrong_is_refused_and_ended(process, sent, status):
    with process.connect() as client:
        with suppress(ConnectionError):  # it need not listen to the end
            client.sendall(sent)
        assert answer_of(client)[0] == status
        assert is_ended(client)
    assert process.answers()


def test_who_asks_whether_to_go_on_is_told(process):
    with process.connect() as client:
        client.sendall(request("/digest", "Content-Length: 4", "Expect: 100-continue"))
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        assert answer_of(client) == (200, hashlib.sha256(b"body").hexdigest().encode())
        client.sendall(request("/", "Content-Length: 10000001", "Expect: 100-continue"))
        assert answer_of(client)[0] == 413, "and not told to go on"


def test_the_newest_is_served_when_there_are_too_many(start):
    process = start(worker_connections=8)
    with ExitStack() as slow:
        clients = [slow.enter_context(process.connect()) for _number in range(20)]
        for client in clients:
            client.sendall(BEGINNINGS["a body"])
        assert process.answers()
        assert is_ended(clients[0])
    assert process.worker.nr_conns <= 8


def test_who_has_just_come_is_not_ended_for_those_who_began_and_do_not_end(start):
    process = start(worker_connections=8)
    with ExitStack() as slow:
        clients = [slow.enter_context(process.connect()) for _number in range(7)]
        for client in clients:
            client.sendall(BEGINNINGS["a body"])
        wait_until(lambda: len(process.worker.waiting) == 7, "the slow ones")
        with process.connect() as newcomer:
            assert is_ended(clients[0])
            # Only then does it send, as over a real line
            newcomer.sendall(request("/"))
            assert answer_of(newcomer) == (200, b"ok")


def test_much_that_arrives_waits_on_the_disk_and_too_much_is_refused(start, monkeypatch):
    monkeypatch.setattr(web_worker, "MAX_BYTES_IN_MEMORY", 100_000)
    monkeypatch.setattr(web_worker, "MAX_BYTES_ON_DISK", 200_000)
    process = start()
    with process.connect() as large, process.connect() as small:
        small.sendall(request("/digest", "Content-Length: 60001", body=b"x" * 60_000))
        large.sendall(request("/digest", "Content-Length: 400000", body=b"x" * 250_000))
        assert answer_of(large)[0] == 503
        small.sendall(b"x")
        assert answer_of(small) == (200, hashlib.sha256(b"x" * 60_001).hexdigest().encode())


def test_https_is_left_to_a_proxy():
    config = Config()
    config.set("certfile", "here.pem")
    with pytest.raises(ConfigError, match="proxy"):
        WebWorker.check_config(config, Logger(config))
