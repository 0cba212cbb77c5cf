"""A web process that ends while requests are under way writes to no file that is not its own."""

import os
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from classifr.common import processes
from classifr.web_worker import WebWorker
from scripts.services import wait_until

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Application:
    """Answers a request when it is let go on, and counts those that it has begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.go_on = threading.Event()

    def wsgi(self) -> Callable:
        return self

    def __call__(self, environ: dict, start_response: Callable) -> list[bytes]:
        self.begun += 1
        assert self.go_on.wait(30)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]


class Process:
    """A web process without the process: its loop runs in a thread, and what would end it is noted."""

    def __init__(self, **settings: object) -> None:
        config = Config()
        for name, value in settings.items():
            config.set(name, value)
        self.application = Application()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.worker = WebWorker(1, os.getppid(), [self.listening], self.application, 30, config, Logger(config))
        self.worker.wsgi = self.application
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

    def ask(self) -> socket.socket:
        client = socket.create_connection(self.listening.getsockname(), timeout=30)
        client.sendall(REQUEST)
        return client

    def end(self) -> None:
        self.worker.handle_exit(15, None)
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def process(monkeypatch) -> Iterator[Process]:
    def note(code: int = 0) -> None:
        raise SystemExit(f"left at once with {code}")

    monkeypatch.setattr(processes, "leave_now", note)
    made = Process(threads=2, graceful_timeout=0)
    yield made
    made.application.go_on.set()
    made.end()
    made.worker.tpool.shutdown()
    made.listening.close()


def test_no_descriptor_of_it_is_free_while_a_request_is_under_way(process, tmp_path):
    """The kernel gives a new file the lowest free number: those opened now get what was closed at the end."""
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
    process.application.go_on.set()
    with process.ask() as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
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
