"""Fetches a picture from an address that somebody gave: only from public places, only so much, only
so long.

A name is looked up once, and the connection goes to the address that was checked: a name that means
something else a moment later leads nowhere new. Every redirect is checked like the first address.
Proxies are not used.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import SplitResult, urljoin, urlsplit

from django.conf import settings

from common.numbers import natural_number

SECONDS = 15.0
MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK_BYTES = 64 * 1024
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What leads to a machine or a network of somebody's own, whatever this Python's `is_global` thinks
# of it: what that knows has changed from version to version, and a cloud's own services live at
# addresses that look public.
_REFUSED = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # the platform of Azure, as its virtual machines see it
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",  # with 192.0.0.192, metadata of Oracle's cloud
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "::/3",  # all but 2000::/3 is given to nobody as a public address
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "4000::/2",
        "8000::/1",
    )
]
# IPv6 that stands for IPv4: mapped, compatible, translated (SIIT), and NAT64 by its well-known
# prefix
_EMBEDDING = [
    ipaddress.IPv6Network(f"{prefix}/96")
    for prefix in ("::ffff:0:0", "::", "::ffff:0:0:0", "64:ff9b::")
]


class FetchRefused(Exception):
    """This address gives no picture, or is one that is not asked. The text does not tell which, on
    purpose.

    `status` is what was answered, 0 for no answer; `retry_after` the header of that name. For
    whoever may know more.
    """

    def __init__(self, status: int = 0, retry_after: str = "") -> None:
        super().__init__("The image cannot be fetched from this address.")
        self.status = status
        self.retry_after = retry_after


class ResponseTooLarge(FetchRefused):
    """There is more behind this address than a picture may have."""


def fetch_url(url: str, *, most_bytes: int, trusted_host: str = "") -> bytes:
    """Return what is at an address.

    Args:
        trusted_host: a host that may be asked wherever it is, because the caller was told to ask it
            anyway.

    Raises:
        ResponseTooLarge: it is longer than `most_bytes`.
        FetchRefused: for everything else.
    """
    with _time_limit(SECONDS) as watch:
        try:
            for _redirect in range(MAX_REDIRECTS + 1):
                connection, parts = _connect(url, watch, trusted_host)
                try:
                    data, url = _ask(connection, parts, url, most_bytes)
                finally:
                    connection.close()
                if watch.is_over:
                    break  # what was cut off looks like an end
                if data is not None:
                    return data
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise FetchRefused from error
    raise FetchRefused


def is_address_allowed(host: str, address: Address) -> bool:
    """Say whether this address of a host may be asked: it is public, or the setting names host or
    network.
    """
    for entry in settings.CUSTOM_VISION_URL_ALLOW:
        try:
            if address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            if entry.lower() == host.lower():
                return True
    meanings: Sequence[Address] = _embedded(address) or [address]
    return all(_is_public(one) for one in meanings)


class _Watch:
    """Shuts whatever connection is open when the time is over, so that no drop-by-drop answer
    outlasts it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_over = False

    def guard(self, connected: socket.socket) -> None:
        with self._lock:
            self._socket = connected
            if self.is_over:
                self._shut()

    def end(self) -> None:
        with self._lock:
            self.is_over = True
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # closed already


@contextmanager
def _time_limit(seconds: float) -> Iterator[_Watch]:
    watch = _Watch()
    timer = threading.Timer(seconds, watch.end)
    timer.daemon = True
    timer.start()
    try:
        yield watch
    finally:
        timer.cancel()


def _connect(
    url: str, watch: _Watch, trusted_host: str
) -> tuple[http.client.HTTPConnection, SplitResult]:
    """Connect to the checked address of a host; return the connection and the parts of the URL."""
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    if (
        parts.scheme not in ("http", "https")
        or not host
        or parts.username is not None
        or watch.is_over
    ):
        raise FetchRefused
    is_https = parts.scheme == "https"
    port = port or (443 if is_https else 80)
    address = _checked_address(host, port, trusted_host)
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    # Connected by us, to the address that was checked
    connection.sock = socket.create_connection((str(address), port), timeout=SECONDS)
    watch.guard(connection.sock)
    if is_https:
        _begin_tls(connection, host, watch)
    return connection, parts


def _begin_tls(connection: http.client.HTTPConnection, host: str, watch: _Watch) -> None:
    context = ssl.create_default_context()
    try:
        secure = context.wrap_socket(
            connection.sock, server_hostname=host, do_handshake_on_connect=False
        )
        connection.sock = secure
        watch.guard(secure)
        secure.do_handshake()
    except BaseException:
        connection.close()
        raise


def _checked_address(host: str, port: int, trusted_host: str) -> Address:
    """Look a host up, once; all of its addresses must be allowed."""
    found = {
        str(entry[4][0]).partition("%")[0]
        for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    }
    addresses = [ipaddress.ip_address(text) for text in found]
    is_trusted = host.lower() == trusted_host.lower()
    if not addresses or not (is_trusted or all(is_address_allowed(host, one) for one in addresses)):
        raise FetchRefused
    return min(addresses, key=lambda one: one.version)


def _ask(
    connection: http.client.HTTPConnection, parts: SplitResult, url: str, most_bytes: int
) -> tuple[bytes | None, str]:
    """Return the body, or None and where the answer leads on to."""
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    default_port = 443 if parts.scheme == "https" else 80
    netloc = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    headers = {
        "Host": f"{netloc}:{parts.port}" if parts.port not in (None, default_port) else f"{netloc}"
    }
    headers |= {
        "User-Agent": "Classifr",
        "Accept": "image/*,*/*;q=0.5",
        "Accept-Encoding": "identity",
    }
    connection.request("GET", target, headers=headers)
    answer = connection.getresponse()
    if answer.status in _REDIRECTS:
        return None, urljoin(url, answer.headers.get("Location", ""))
    if answer.status != 200:
        raise FetchRefused(answer.status, answer.headers.get("Retry-After") or "")
    if (natural_number(answer.headers.get("Content-Length") or "") or 0) > most_bytes:
        raise ResponseTooLarge
    data = bytearray()
    while chunk := answer.read(_CHUNK_BYTES):
        data += chunk
        if len(data) > most_bytes:
            raise ResponseTooLarge
    return bytes(data), url


def _is_public(address: Address) -> bool:
    return address.is_global and not any(address in network for network in _REFUSED)


def _embedded(address: Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address stands for, by which it is judged; none for
    every other.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return []
    if any(address in network for network in _EMBEDDING):
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    if address.teredo:
        return list(address.teredo)
    return [address.sixtofour] if address.sixtofour else []
