"""Reads bodies as clients of Custom Vision send them.

Their parts often have no file name, and Django would then take a picture for text and spoil it; and its limit for what
it keeps in memory is below one picture. So the raw body is read, up to a limit, and taken apart here.
"""

import re
from dataclasses import dataclass
from email.message import Message
from typing import Any

from django.http import HttpRequest

from classifr.customvision.faults import Fault

MOST_BATCH_BYTES = 100 * 1024 * 1024  # a batch of pictures, which is in memory at once
MOST_PARTS = 64
_ROOM_FOR_HEADERS = 16 * 1024
_PARAMETER = re.compile(r""";\s*([\w!#$&+.^`|~*-]+)\s*=\s*(?:("(?:[^"\\]|\\["\\]|\\(?!["\\]))*")|([^;]*))""")


@dataclass(frozen=True)
class Part:
    """One picture of a body. `file_name` is what the client called it, quotes included where it sent them."""

    data: bytes
    file_name: str = ""


def read(request: HttpRequest, most: int) -> bytes:
    """Return the body. Raises Fault if it is longer than `most` bytes, before it is read where that is known."""
    if _length(request) > most:
        raise too_large(most)
    # Django takes a body without a length for an empty one
    chunked = request.headers.get("Transfer-Encoding", "").lower() == "chunked"
    source: Any = request.META["wsgi.input"] if chunked else request
    data = source.read(most + 1)
    if len(data) > most:
        raise too_large(most)
    return data


def image_parts(request: HttpRequest, most: int, most_parts: int) -> list[Part]:
    """Return the pictures of a body: all its parts, if it has parts, or else the body itself; `most` is for one."""
    header = request.headers.get("Content-Type", "")
    media_type = header.partition(";")[0].strip().lower()
    if media_type in ("application/octet-stream", ""):
        data = read(request, most)
        return [Part(data)] if data else []
    if media_type != "multipart/form-data":
        raise Fault("UnsupportedMediaType", "Send the image as multipart/form-data or application/octet-stream.")
    boundary = _parameters(header).get("boundary", "")
    if not boundary or len(boundary) > 200:
        raise Fault("BadRequestImageStream", "The multipart body has no boundary.")
    body = read(request, min(most_parts * (most + _ROOM_FOR_HEADERS), MOST_BATCH_BYTES))
    return _take_apart(body, boundary.encode("latin-1", "replace"), most_parts)


def too_large(most: int) -> Fault:
    return Fault("BadRequestImageSizeBytes", f"The request is larger than {most} bytes.")


def _take_apart(body: bytes, boundary: bytes, most_parts: int) -> list[Part]:
    parts: list[Part] = []
    # The line break before a boundary belongs to it (RFC 2046, 5.1.1); the first one has none
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            break
        headers, _blank, data = piece.partition(b"\r\n\r\n")
        disposition = _disposition(headers)
        if disposition.get("name", "").lower() != "imagedata" and "filename" not in disposition:
            continue  # a field of text
        if len(parts) == most_parts:
            raise Fault("BadRequestImageExceededCount", f"At most {most_parts} images may be sent at once.")
        parts.append(Part(data, disposition.get("filename", "")))
    return parts


def _disposition(headers: bytes) -> dict[str, str]:
    for line in headers.split(b"\r\n"):
        name, _colon, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            return _parameters(value.decode("utf-8", "replace").strip())
    return {}


def _parameters(header: str) -> dict[str, str]:
    """Return the parameters of a header, quoted or not, their names in lower case; a file name keeps its quotes.

    Windows paths come with single backslashes, so a backslash escapes nothing but a quote or itself.
    """
    found = {}
    for name, quoted, plain in _PARAMETER.findall(header):
        value = re.sub(r'\\(["\\])', r"\1", quoted[1:-1]) if quoted else plain.strip()
        found[name.lower()] = f'"{value}"' if quoted and name.lower() == "filename" else value
    if "filename" not in found and (extended := found.get("filename*")):
        message = Message()
        message["Content-Disposition"] = f"form-data; filename*={extended}"
        found["filename"] = message.get_filename() or ""
    return found


def _length(request: HttpRequest) -> int:
    try:
        return int(request.headers.get("Content-Length") or 0)
    except ValueError:
        return 0
