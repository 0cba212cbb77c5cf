"""Promise 27: clients that drip, fall silent or do not read keep nobody waiting."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from classifr.tests.faults.installation import Installation
from scripts.services import wait_until

pytestmark = pytest.mark.outer

SLOW_CLIENTS = 24
HEAD = b"POST /api/v1/projects/dishes/predict HTTP/1.1\r\nHost: localhost\r\n"
BEGINNINGS = {
    "nothing": b"",
    "a head": HEAD + b"X-Slow: ",
    "a body": HEAD + b"Content-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\nx",
}


@pytest.fixture
def slow_clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(installation: Installation, clients: ExitStack, beginning: bytes) -> socket.socket:
    port = int(installation.url.rpartition(":")[2])
    client = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
    client.sendall(beginning)
    return client


def test_slow_clients_keep_nobody_waiting(install, slow_clients):
    installation: Installation = install(WEB_CONCURRENCY="1", CLIENT_SECONDS="600")
    installation.start_web()
    for beginning in BEGINNINGS.values():
        dripping = [
            connect(installation, slow_clients, beginning) for _number in range(SLOW_CLIENTS)
        ]
        for _drop in range(5):
            for client in dripping:
                client.sendall(b"x" if beginning else b"")
            assert installation.predict().status_code == 200


def test_slow_clients_are_told_and_ended(install, slow_clients):
    installation: Installation = install(WEB_CONCURRENCY="1", CLIENT_SECONDS="1")
    installation.start_web()
    for name, beginning in BEGINNINGS.items():
        client = connect(installation, slow_clients, beginning)
        answer = b"" if name == "nothing" else b"HTTP/1.1 408"
        received = bytearray()
        wait_until(lambda: not _receive(client, received), "the end of the connection")  # noqa: B023
        assert received.startswith(answer)
    assert installation.predict().status_code == 200


def _receive(client: socket.socket, into: bytearray) -> bool:
    try:
        data = client.recv(1000)
    except ConnectionError:
        return False
    into += data
    return bool(data)
