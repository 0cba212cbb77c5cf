"""Addresses from clients lead to public places only."""

import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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
            "/drips": "/picture",
        }
        self.send_response(302 if self.path in moved else 404 if self.path == "/gone" else 200)
        if self.path in moved:
            self.send_header("Location", moved[self.path])
            self.send_header("Set-Cookie", "a=b")
        elif self.path == "/picture":
            self.send_header("Content-Length", "7")
        if self.path == "/drips":
            self.send_header("Content-Length", "1000000000")
        self.end_headers()
        if self.path == "/drips":
            self.wfile.flush()
            time.sleep(5)
        if self.headers["Cookie"] or self.headers["Authorization"]:
            return
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


@pytest.mark.parametrize("path", ["/picture", "/there", "/drips"])
def test_a_picture_is_fetched_also_by_a_redirect(site, path):
    assert fetch_url(site + path, most_bytes=100) == b"picture"


@pytest.mark.parametrize("path", ["/picture", "/unannounced"])
def test_more_than_a_picture_is_refused(site, path):
    with pytest.raises(ResponseTooLarge):
        fetch_url(site + path, most_bytes=3)


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


def test_the_address_that_is_judged_is_the_one_that_is_connected_to(site, monkeypatch):
    """However often a name is looked up: no socket is opened before its own address was judged."""
    port = site.rpartition(":")[2]
    judged, connected = [], []

    def judge(host, address):
        judged.append((host, str(address)))
        return address == ip_address("127.0.0.1")

    make_socket = socket.socket

    def watched(*args, **accepted):
        if not accepted:
            connected.append(judged[-1])
        return make_socket(*args, **accepted)

    monkeypatch.setattr(fetching, "is_address_allowed", judge)
    monkeypatch.setattr(fetching.socket, "socket", watched)
    assert fetch_url(f"http://localhost:{port}/picture", most_bytes=100) == b"picture"
    assert connected == [("localhost", "127.0.0.1")]


def test_the_setting_allows_a_host_by_its_name_and_no_other_name_of_it(site, settings):
    settings.CUSTOM_VISION_URL_ALLOW = ["localhost"]
    port = site.rpartition(":")[2]
    assert fetch_url(f"http://localhost:{port}/picture", most_bytes=100) == b"picture"
    with pytest.raises(FetchRefused):
        fetch_url(f"http://127.0.0.1:{port}/picture", most_bytes=100)


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
    opened, make_socket = [], socket.socket

    def watched(*args):
        opened.append(args)
        return make_socket(*args)

    monkeypatch.setattr(fetching.socket, "socket", watched)
    with pytest.raises(FetchRefused):
        fetch_url(url, most_bytes=100)
    assert not opened


def test_a_proxy_that_the_environment_names_is_not_used(site, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch_url(f"{site}/picture", most_bytes=100) == b"picture"


def test_nobody_is_logged_in_by_a_netrc_file(site, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch_url(f"{site}/picture", most_bytes=100) == b"picture"


def test_a_certificate_has_to_be_one_that_this_machine_trusts(settings, monkeypatch, tmp_path):
    settings.CUSTOM_VISION_URL_ALLOW = ["127.0.0.0/8"]
    certificate, key = self_signed("localhost", tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        with pytest.raises(FetchRefused):
            fetch_url(f"https://localhost:{server.server_port}/picture", most_bytes=100)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        address = f"https://localhost:{server.server_port}/picture"
        assert fetch_url(address, most_bytes=100) == b"picture"
        with pytest.raises(FetchRefused):  # a trusted certificate, of another host
            fetch_url(address.replace("localhost", "127.0.0.1"), most_bytes=100)
    finally:
        server.shutdown()
        server.server_close()


def self_signed(host, folder):
    """Return the files of a certificate for a host, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, no_password))
    return folder / "certificate.pem", folder / "key.pem"


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
