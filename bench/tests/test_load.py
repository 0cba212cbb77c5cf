"""The load generator: what it sends, what it understands, and that it does not take a refusal for
an answer.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, repeat

import pytest

from bench import load
from bench.load import Address, Load


class Echo(BaseHTTPRequestHandler):
    """Remembers what it was sent; answers 200, or what the path says."""

    protocol_version = "HTTP/1.1"
    received: list[bytes]

    def do_POST(self):
        type(self).received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(int(self.path[1:] or 200))
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"done")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[tuple[int, list[bytes]]]:
    handler = type("OwnEcho", (Echo,), {"received": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, handler.received
        server.shutdown()


def test_every_client_sends_its_own_body_and_waits_for_the_answer(echo):
    port, received = echo
    bodies = (b"%06d" % number * 50_000 for number in count())
    found = load.run(Address(port, "/", {}), bodies, clients=3, seconds=0)
    assert found.answers == 3
    assert sorted(received) == [b"%06d" % number * 50_000 for number in range(3)]
    assert 0 < found.p50 <= found.p95 <= found.p99


def test_a_refusal_is_no_answer(echo):
    port, _received = echo
    with pytest.raises(RuntimeError, match="/429 answered 429: b'done'"):
        load.run(Address(port, "/429", {}), repeat(b"x"), clients=2, seconds=0)


def test_one_answer_gives_what_came_back(echo):
    port, _received = echo
    assert load.one_answer(Address(port, "/", {"X-Name": "value"}), b"x") == b"done"


def test_a_head_says_how_long_the_body_is():
    head = Address(80, "/predict", {"Content-Type": "image/jpeg"}).head(7)
    assert head.startswith(b"POST /predict HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 7\r\n" in head
    assert head.endswith(b"\r\nContent-Type: image/jpeg\r\n\r\n")


@pytest.mark.parametrize(
    ("received", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", (200, b"ok", True)),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", (503, b"", False)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok", False)),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            (200, b"abc", True),
        ),
    ],
)
def test_a_whole_answer_is_understood(received, answer):
    assert load.parsed(received) == answer


@pytest.mark.parametrize("cut", [5, 30, 45, 60])
def test_part_of_an_answer_is_waited_for(cut):
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    assert load.parsed(whole[: min(cut, len(whole) - 1)]) is None


def test_the_median_of_rounds_goes_figure_by_figure():
    rounds = [Load(10, 5, 6, 7, 100, 0.1), Load(30, 1, 9, 8, 300, 0.3), Load(20, 3, 7, 9, 200, 0.2)]
    assert load.median(rounds) == Load(20, 3, 7, 8, 200, 0.2)
