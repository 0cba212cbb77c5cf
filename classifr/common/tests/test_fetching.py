"""Addresses from clients lead to public places only."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest

from classifr.common import fetching
from classifr.common.fetching import CannotFetch, TooLarge, fetch


class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n")
            for _second in range(600):
                time.sleep(0.1)
                try:
                    self.wfile.write(b"X-A: b\r\n")
                except OSError:
                    return
            return
        moved = {
            "/there": "/picture",
            "/inside": "http://localhost:1/",
            "/round": "/round",
            "/file": "file:///etc/passwd",
        }
        self.send_response(302 if self.path in moved else 404 if self.path == "/gone" else 200)
        if self.path in moved:
            self.send_header("Location", moved[self.path])
        self.end_headers()
        if self.path not in moved:
            self.wfile.write(b"picture")

    def log_message(self, *args):
        return


@pytest.fixture
def site(settings):
    """The address of a server on this machine, which the setting allows to ask."""
    settings.CUSTOM_VISION_URL_ALLOW = ["127.0.0.0/8"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", ["/picture", "/there"])
def test_a_picture_is_fetched_also_by_a_redirect(site, path):
    assert fetch(site + path, most_bytes=100) == b"picture"


def test_more_than_a_picture_is_refused(site):
    with pytest.raises(TooLarge):
        fetch(f"{site}/picture", most_bytes=3)


@pytest.mark.parametrize("path", ["/gone", "/round", "/file"])
def test_what_is_no_answer_is_refused(site, path):
    with pytest.raises(CannotFetch):
        fetch(site + path, most_bytes=100)


def test_a_redirect_into_a_private_place_is_not_followed(site, monkeypatch):
    monkeypatch.setattr(fetching, "is_allowed", lambda host, address: host == "127.0.0.1")
    with pytest.raises(CannotFetch):
        fetch(f"{site}/inside", most_bytes=100)


def test_an_answer_drop_by_drop_ends_with_the_time(site, monkeypatch):
    monkeypatch.setattr(fetching, "SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(CannotFetch):
        fetch(f"{site}/slow", most_bytes=100)
    assert time.monotonic() - started < 30, "the site would have gone on for a minute"


def test_a_name_is_looked_up_once(site, settings, monkeypatch):
    settings.CUSTOM_VISION_URL_ALLOW = ["pictures.example"]
    port = int(site.rpartition(":")[2])
    lookups = []

    def once(host, *args, **options):
        lookups.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(fetching.socket, "getaddrinfo", once)
    connect = socket.socket

    def connected(address, timeout):
        plain = connect(socket.AF_INET)
        plain.connect(address)
        return plain

    monkeypatch.setattr(fetching.socket, "create_connection", connected)
    assert fetch(f"http://pictures.example:{port}/picture", most_bytes=100) == b"picture"
    assert lookups == ["pictures.example"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "picture.jpg",
        "file:///etc/passwd",
        "ftp://example.com/a",
        "http://user:password@example.com/",
        "http://localhost/",
        "http://127.1/",
        "http://2130706433/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/metadata",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://0.0.0.0/",
        "http://example.com:99999/",
        "http://[::1/",
    ],
)
def test_private_and_senseless_addresses_are_refused(url, monkeypatch):
    def never(*args, **options):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(fetching.socket, "create_connection", never)
    with pytest.raises(CannotFetch):
        fetch(url, most_bytes=100)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("fe80::1", False),
        ("fd00::1", False),
    ],
)
def test_only_public_addresses_are_asked(address, allowed):
    assert fetching.is_allowed("example.com", ip_address(address)) is allowed


def test_the_setting_allows_networks_and_hosts(settings):
    settings.CUSTOM_VISION_URL_ALLOW = ["10.1.0.0/16", "pictures.internal"]
    assert fetching.is_allowed("a", ip_address("10.1.2.3"))
    assert fetching.is_allowed("Pictures.internal", ip_address("192.168.0.1"))
    assert not fetching.is_allowed("a", ip_address("10.2.0.1"))


def test_a_trusted_host_is_asked_wherever_it_is_and_no_other(site, settings):
    settings.CUSTOM_VISION_URL_ALLOW = []
    with pytest.raises(CannotFetch):
        fetch(f"{site}/picture", most_bytes=100)
    assert fetch(f"{site}/picture", most_bytes=100, trusted_host="127.0.0.1") == b"picture"
    with pytest.raises(CannotFetch):
        fetch(f"{site}/inside", most_bytes=100, trusted_host="127.0.0.1")


def test_what_was_answered_can_be_known(site):
    with pytest.raises(CannotFetch) as refused:
        fetch(f"{site}/gone", most_bytes=100)
    assert refused.value.status == 404
