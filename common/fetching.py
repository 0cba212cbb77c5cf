"""Fetches a picture from an address that somebody gave: from public places only, within limits.

libcurl resolves and connects, but asks us for each socket first: so the address that is judged is
the one that is connected to, and a name that means something else a moment later leads nowhere
new. Every redirect is checked like the first address. Proxies are not used.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.conf import settings

from common.numbers import natural_number

SECONDS = 15.0
MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
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
    """This address gives no picture, or is one that is not asked.

    The text does not tell which, or it would let a stranger map a private network. `status` is what
    was answered, 0 for no answer; `retry_after` the header of that name: for whoever may know more.
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
    ends_at = time.monotonic() + SECONDS
    try:
        for _hop in range(1 + MAX_REDIRECTS):
            answer = _ask(url, most_bytes, trusted_host, ends_at - time.monotonic())
            if answer.status == 200:
                return bytes(answer.data)
            if answer.status not in _REDIRECTS:
                raise FetchRefused(answer.status, answer.headers.get("retry-after", ""))
            url = urljoin(url, answer.headers.get("location", ""))
    except ValueError as error:  # what `urlsplit` and the encoding of a host's name raise
        raise FetchRefused from error
    raise FetchRefused


def is_address_allowed(host: str, address: Address) -> bool:
    """Say whether an address of a host may be asked: public, or host or network in the setting."""
    for entry in settings.CUSTOM_VISION_URL_ALLOW:
        try:
            if address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            if entry.lower() == host.lower():
                return True
    meanings: Sequence[Address] = _embedded_addresses(address) or [address]
    return all(
        one.is_global and not any(one in network for network in _REFUSED) for one in meanings
    )


class _Transfer:
    """What libcurl asks and tells while it fetches from one host."""

    def __init__(self, host: str, *, is_trusted: bool, most_bytes: int) -> None:
        self.host, self.is_trusted, self.most_bytes = host, is_trusted, most_bytes
        self.status = 0
        self.headers: dict[str, str] = {}
        self.data = bytearray()
        self.sockets: list[socket.socket] = []
        self.is_complete = self.is_too_long = False

    def open_socket(self, _purpose: int, peer: Any) -> Any:
        """Return a socket to connect to this very address, if it may be asked."""
        import pycurl

        if peer.family not in (socket.AF_INET, socket.AF_INET6):
            return pycurl.SOCKET_BAD
        address = ipaddress.ip_address(peer.addr[0].partition("%")[0])
        if not self.is_trusted and not is_address_allowed(self.host, address):
            return pycurl.SOCKET_BAD
        opened = socket.socket(peer.family, peer.socktype, peer.protocol)
        self.sockets.append(opened)  # libcurl works on a duplicate, so this one is ours to close
        return opened

    def take_header(self, line: bytes) -> int | None:
        """Take one line in; 0 ends the transfer, None lets it go on."""
        if line.startswith(b"HTTP/"):
            # Once more after "100 Continue", and then nothing of the first answer counts.
            self.status, self.headers = int(line.split()[1]), {}
        elif line.strip():
            name, _colon, value = line.decode("latin-1").partition(":")
            self.headers.setdefault(name.strip().lower(), value.strip())
        elif self.status > 200:
            # Whatever body follows is not wanted, and might be long or drip.
            self.is_complete = True
            return 0
        else:
            announced = natural_number(self.headers.get("content-length", ""))
            self.is_too_long = (announced or 0) > self.most_bytes
        return 0 if self.is_too_long else None

    def take_body(self, chunk: bytes) -> int | None:
        """Take bytes in; 0 ends the transfer, None lets it go on."""
        self.data += chunk
        self.is_too_long = len(self.data) > self.most_bytes
        return 0 if self.is_too_long else None


def load_libcurl() -> None:
    """Load the library that fetches, for processes that load TensorFlow afterwards.

    TensorFlow brings an older libcurl along, and of two in a process the first counts: after
    TensorFlow, pycurl could not be imported any more.
    """
    import pycurl  # noqa: F401


def _ask(url: str, most_bytes: int, trusted_host: str, seconds: float) -> _Transfer:
    """Ask one address for all of its answer, or for the head alone where the status is not 200."""
    import pycurl  # here, as most processes never fetch anything

    url, host = _normalize(url)
    is_trusted = host.lower() == trusted_host.lower()
    transfer = _Transfer(host, is_trusted=is_trusted, most_bytes=most_bytes)
    authorities = ssl.get_default_verify_paths()
    options = {
        pycurl.URL: url,
        pycurl.PATH_AS_IS: True,
        pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
        pycurl.FOLLOWLOCATION: False,  # `fetch_url` does, so that `open_socket` knows the host
        pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
        pycurl.HTTPHEADER: ["Accept: image/*,*/*;q=0.5", "Accept-Encoding: identity"],
        pycurl.USERAGENT: "Classifr",
        pycurl.PROXY: "",  # not even one that the environment names: it would look names up itself
        pycurl.NETRC: pycurl.NETRC_IGNORED,
        # Where Python looks, as the paths that libcurl was built with may not exist here.
        pycurl.CAINFO: authorities.cafile,
        pycurl.CAPATH: authorities.capath,
        pycurl.OPENSOCKETFUNCTION: transfer.open_socket,
        pycurl.HEADERFUNCTION: transfer.take_header,
        pycurl.WRITEFUNCTION: transfer.take_body,
        # Of all that is sent and received; 0 would mean without end. A resolver that is silent is
        # waited for until it gives up by itself, as nothing can stop its thread.
        pycurl.TIMEOUT_MS: max(1, int(seconds * 1000)),
        pycurl.NOSIGNAL: True,  # a signal would interrupt whichever thread is the main one
    }
    curl = pycurl.Curl()
    try:
        for option, value in options.items():
            if value is not None:
                curl.setopt(option, value)
        curl.perform()
    except pycurl.error as error:
        if transfer.is_too_long:
            raise ResponseTooLarge from error
        if not transfer.is_complete:
            raise FetchRefused from error
    finally:
        curl.close()
        for each in transfer.sockets:
            each.close()
    return transfer


def _normalize(url: str) -> tuple[str, str]:
    """Return a URL that may be asked, and its host. Raises FetchRefused or ValueError."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise FetchRefused
    # Put together anew from the host as we read it, so that libcurl can read no other one in it.
    name = f"[{host}]" if ":" in host else host.encode("idna").decode()
    netloc = name if port is None else f"{name}:{port}"
    return parts._replace(netloc=netloc, fragment="").geturl(), host


def _embedded_addresses(address: Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address stands for, by which it is judged."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    if any(address in network for network in _EMBEDDING):
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    if address.teredo:
        return list(address.teredo)
    return [address.sixtofour] if address.sixtofour else []
