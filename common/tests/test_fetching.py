"""Addresses from clients lead to public places only."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from common import fetching
from common.fetching import FetchRefused, ResponseTooLarge, fetch_url


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
    assert fetch_url(site + path, most_bytes=100) == b"picture"


def test_more_than_a_picture_is_refused(site):
    with pytest.raises(ResponseTooLarge):
        fetch_url(f"{site}/picture", most_bytes=3)


@pytest.mark.parametrize("path", ["/gone", "/round", "/file"])
def test_what_is_no_answer_is_refused(site, path):
    with pytest.raises(FetchRefused):
        fetch_url(site + path, most_bytes=100)


def test_a_redirect_into_a_private_place_is_not_followed(site, monkeypatch):
    monkeypatch.setattr(fetching, "is_address_allowed", lambda host, address: host == "127.0.0.1")
    with pytest.raises(FetchRefused):
        fetch_url(f"{site}/inside", most_bytes=100)


def test_an_answer_drop_by_drop_ends_with_the_time(site, monkeypatch):
    monkeypatch.setattr(fetching, "SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(FetchRefused):
        fetch_url(f"{site}/slow", most_bytes=100)
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
    assert fetch_url(f"http://pictures.example:{port}/picture", most_bytes=100) == b"picture"
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
    with pytest.raises(FetchRefused):
        fetch_url(url, most_bytes=100)


PUBLIC = """
    1.1.1.1  93.184.216.34  168.63.129.15  168.63.129.17  172.32.0.1  192.0.1.1  223.255.255.255
    2606:2800:220:1:248:1893:25c8:1946  2a00:1450:4001:81b::200e  2400:cb00:2048:1::c629:d7a2  2001:4860:4860::8888
    ::ffff:93.184.216.34  64:ff9b::93.184.216.34  2002:5db8:d822::1
"""  # noqa: E501
NOT_PUBLIC = """
    0.0.0.0  0.1.2.3  10.0.0.1  100.64.0.1  100.100.100.200  127.0.0.1  127.255.255.254  168.63.129.16
    169.254.169.254  169.254.170.2  172.16.0.1  172.31.255.255  192.0.0.1  192.0.0.8  192.0.0.9  192.0.0.10
    192.0.0.170  192.0.0.192  192.0.2.1  192.88.99.1  192.168.1.1  198.18.0.1  198.19.255.255  198.51.100.1
    203.0.113.1  224.0.0.1  239.255.255.255  240.0.0.1  255.255.255.255

    ::  ::1  100::1  100:0:0:1::1  2001::1  2001:2::1  2001:10::1  2001:20::1  2001:db8::1  3fff::1  4000::1  5f00::1
    fc00::1  fd00::1  fd00:ec2::254  fd20:ce::254  fe80::1  fec0::1  feff::1  ff02::1  ff0e::1
    64:ff9b:1::1  64:ff9b:1::93.184.216.34  64:ff9b:1:ffff::7f00:1  64:ff9b::1:0:0

    ::ffff:127.0.0.1  ::ffff:10.0.0.1  ::ffff:168.63.129.16  ::ffff:169.254.169.254  ::ffff:192.0.0.192
    ::127.0.0.1  ::10.0.0.1  ::168.63.129.16  ::169.254.169.254
    ::ffff:0:127.0.0.1  ::ffff:0:10.0.0.1  ::ffff:0:168.63.129.16  ::ffff:0:169.254.169.254
    64:ff9b::127.0.0.1  64:ff9b::10.0.0.1  64:ff9b::168.63.129.16  64:ff9b::192.0.0.192
    2002:7f00:1::  2002:a00:1::1  2002:a83f:8110::1  2002:a9fe:a9fe::1  2002:c000:c0::
    2001:0:7f00:1::  2001:0:5db8:d822::80ff:fffe  2001:0:a83f:8110::a247:27dd
"""  # noqa: E501


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses_are_asked(address):
    assert fetching.is_address_allowed("example.com", ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_no_others_are_asked_whatever_they_are_embedded_in(address):
    assert not fetching.is_address_allowed("example.com", ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_what_this_python_knows_of_addresses_does_not_matter(address, monkeypatch):
    monkeypatch.setattr(IPv4Address, "is_global", True)
    monkeypatch.setattr(IPv6Address, "is_global", True)
    assert not fetching.is_address_allowed("example.com", ip_address(address))


def test_the_setting_allows_networks_and_hosts(settings):
    settings.CUSTOM_VISION_URL_ALLOW = ["10.1.0.0/16", "pictures.internal"]
    assert fetching.is_address_allowed("a", ip_address("10.1.2.3"))
    assert fetching.is_address_allowed("Pictures.internal", ip_address("192.168.0.1"))
    assert not fetching.is_address_allowed("a", ip_address("10.2.0.1"))


def test_a_trusted_host_is_asked_wherever_it_is_and_no_other(site, settings):
    settings.CUSTOM_VISION_URL_ALLOW = []
    with pytest.raises(FetchRefused):
        fetch_url(f"{site}/picture", most_bytes=100)
    assert fetch_url(f"{site}/picture", most_bytes=100, trusted_host="127.0.0.1") == b"picture"
    with pytest.raises(FetchRefused):
        fetch_url(f"{site}/inside", most_bytes=100, trusted_host="127.0.0.1")


def test_what_was_answered_can_be_known(site):
    with pytest.raises(FetchRefused) as refused:
        fetch_url(f"{site}/gone", most_bytes=100)
    assert refused.value.status == 404
