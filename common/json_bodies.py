"""Reads JSON from others: its length, number of values and depth are known before it is parsed.

A parser makes objects of bytes, and small ones cost it most: an empty list of two bytes takes
sixty. So what is parsed is short, and a picture that comes as base64 is not parsed at all: it stays
the bytes that were received.
"""

import binascii
import json
import re
import secrets
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 16 * 1024  # where no lists come: an address, a name, a verdict
MAX_DEPTH = 16

# Possessive, as every `*+` here: an expression that may go back needs memory for each character.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[\[{]|[\]}]|,', re.DOTALL)
_BASE64 = re.compile(rb'"((?:[A-Za-z0-9+/=]++|\\[/rn])++)"')
_LONG_BASE64 = 1024  # what is shorter is a string like any other
_BYTES_PER_VALUE = 16


class NotJson(Exception):
    """This is no JSON."""


class TooMuchJson(Exception):
    """It is longer, deeper or of more values than anybody needs here."""


@dataclass(frozen=True)
class Base64:
    """A long string of base64 within a body: not copied, not decoded yet."""

    body: bytes
    start: int
    end: int

    @property
    def most_bytes(self) -> int:
        """Return how long the content can be at most."""
        return (self.end - self.start) // 4 * 3 + 3

    def decode(self) -> bytes:
        """Return the content. Raises ValueError."""
        data = self.body[self.start : self.end]
        if b"\\" in data:
            data = data.replace(b"\\/", b"/").replace(b"\\r", b"").replace(b"\\n", b"")
        return decode_base64(data)


def decode_base64(text: str | bytes) -> bytes:
    """Return what base64, in lines or not, stands for. Raises ValueError."""
    data = text.encode("ascii") if isinstance(text, str) else text
    try:
        return b64decode(data.translate(None, b"\r\n"), validate=True)
    except binascii.Error as error:
        raise ValueError("This is no base64.") from error


def loads(data: bytes, *, most_bytes: int = MAX_BYTES) -> Any:
    """Return the value of a JSON text of at most `most_bytes`.

    Raises:
        TooMuchJson: it is longer, nested deeper than `MAX_DEPTH`, or of more values than so many
            bytes need.
        NotJson: it is no JSON.
    """
    if len(data) > most_bytes:
        raise TooMuchJson
    _check_structure(data, most_bytes // _BYTES_PER_VALUE)
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NotJson from error


def loads_with_pictures(data: bytes, *, most_bytes: int, most_pictures: int) -> Any:
    """Return the value of a JSON text in which each long string of base64 is a `Base64`.

    `most_bytes` are of the rest. Raises as `loads` does.
    """
    # Nobody can guess it, so no string of the sender's can be taken for one of the pictures.
    mark = secrets.token_hex(16)
    found: list[Base64] = []
    rest, end = bytearray(), 0
    for match in _BASE64.finditer(data):
        if len(rest) + match.start() - end > most_bytes:
            raise TooMuchJson
        if match.end() - match.start() >= _LONG_BASE64:
            if len(found) == most_pictures:
                raise TooMuchJson
            rest += data[end : match.start()] + f'"{mark}{len(found)}"'.encode()
            found.append(Base64(data, match.start(1), match.end(1)))
            end = match.end()
    # One byte more than is allowed, for `loads` to notice.
    rest += data[end : end + most_bytes + 1]
    return _with_pictures(loads(bytes(rest), most_bytes=most_bytes), mark, found)


def _with_pictures(value: Any, mark: str, found: list[Base64]) -> Any:
    if isinstance(value, dict):
        return {name: _with_pictures(one, mark, found) for name, one in value.items()}
    if isinstance(value, list):
        return [_with_pictures(one, mark, found) for one in value]
    if isinstance(value, str) and value.startswith(mark):
        return found[int(value.removeprefix(mark))]  # a number of ours: nobody else knows the mark
    return value


def _check_structure(data: bytes, most_values: int) -> None:
    # A string is one token, so that brackets and commas within it are not counted.
    values, depth = 1, 0
    for token in _TOKEN.finditer(data):
        match token[0][:1]:
            case b"[" | b"{":
                values, depth = values + 1, depth + 1
            case b"]" | b"}":
                depth -= 1
            case b",":
                values += 1
        if values > most_values or depth > MAX_DEPTH:
            raise TooMuchJson


def _refuse_constant(name: str) -> None:
    # NaN and Infinity, which Python takes and no standard knows.
    raise ValueError(f"{name} is no JSON")
