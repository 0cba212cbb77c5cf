"""Reads bodies as clients of Custom Vision send them.

Django's own parser would not do: it takes a part without a file name for text and so spoils a
picture, and its limit for what it keeps in memory is below one picture. So the raw body is read, up
to a limit, and parsed here.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any

from django.http import HttpRequest
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from common.media.upload_handlers import read_to_the_end
from common.numbers import natural_number
from customvision.api.errors import ApiError

MAX_BATCH_BYTES = 100 * 1024 * 1024  # a batch of pictures, which is in memory at once
MULTIPART = "multipart/form-data"
MAX_PARTS = 64
MAX_FIELDS = 64
MAX_HEADER_BYTES = 4096
MAX_HEADERS = 8
_ROOM_FOR_HEADERS = 16 * 1024
_CHUNK_BYTES = 256 * 1024
# Possessive: a quoted string is read once, never again from each of its characters
_PARAMETER = re.compile(
    r""";\s*+([\w!#$&+.^`|~*-]++)\s*+=\s*+(?:("[^"\\]*+(?:\\["\\]?+[^"\\]*+)*+")|([^;]*+))"""
)


@dataclass(frozen=True)
class UploadedPart:
    """One picture of a body; `file_name` is as the client sent it, with its quotes if any."""

    data: bytes
    file_name: str = ""


def read_body(request: HttpRequest, most: int) -> bytes:
    """Return the body. Raises ApiError if it is longer than `most` bytes."""
    # One byte more than allowed shows that a body is too long, whatever length it claims
    data = b"" if _length(request) > most else request.read(most + 1)
    if len(data) > most or _length(request) > most:
        del data
        # A client still sends: answered before the end, it would see a broken connection
        read_to_the_end(request)
        raise body_too_large(most)
    return data


def image_parts(
    request: HttpRequest, most: int, most_parts: int, *, any_type: bool = False
) -> list[UploadedPart]:
    """Return the pictures of a body, its parts or the body itself, each of at most `most` bytes.

    With `any_type` a body that is not multipart is the picture, whatever type it says.
    """
    header = request.headers.get("Content-Type", "")
    media_type = header.partition(";")[0].strip().lower()
    is_bytes = media_type in ("application/octet-stream", "")
    if is_bytes or (any_type and media_type != MULTIPART):
        data = read_body(request, most)
        return [UploadedPart(data)] if data else []
    if media_type != MULTIPART:
        raise ApiError(
            "UnsupportedMediaType",
            "Send the image as multipart/form-data or application/octet-stream.",
        )
    boundary = _parameters(header).get("boundary", "")
    # RFC 2046 allows 70 characters; a few more do no harm
    if not boundary or len(boundary) > 200:
        raise ApiError("BadRequestImageStream", "The multipart body has no boundary.")
    return _take_apart(request, boundary, most, most_parts)


def body_too_large(most: int) -> ApiError:
    return ApiError("BadRequestImageSizeBytes", f"The request is larger than {most} bytes.")


class _LenientParser(PushMultipartParser):
    """Takes parts as real clients send them: without a name, or with another disposition."""

    def _create_segment(self, headerlist: list[tuple[str, str]]) -> MultipartSegment:
        return MultipartSegment(headerlist)


def _take_apart(
    request: HttpRequest, boundary: str, most: int, most_parts: int
) -> list[UploadedPart]:
    """Return the pictures of a multipart body; one that is too long is cut at `most` + 1 bytes."""
    most_together = min(most_parts * (most + _ROOM_FOR_HEADERS), MAX_BATCH_BYTES)
    if _length(request) > most_together:
        read_to_the_end(request)
        raise body_too_large(most_together)
    parser = _LenientParser(
        boundary.encode("latin-1", "replace"),
        max_header_size=MAX_HEADER_BYTES,
        max_header_count=MAX_HEADERS,
        max_segment_count=most_parts + MAX_FIELDS,
        header_charset="latin-1",  # every byte is one; what they mean is seen later
    )
    parts: list[UploadedPart] = []
    try:
        for disposition, chunks in _segments(
            parser.parse_blocking(_limited(request, most_together), _CHUNK_BYTES)
        ):
            if disposition.get("name", "").lower() != "imagedata" and "filename" not in disposition:
                continue  # a field of text
            if len(parts) == most_parts:
                raise ApiError(
                    "BadRequestImageExceededCount",
                    f"At most {most_parts} images may be sent at once.",
                )
            # A picture that is too long is cut, and refused in its place in the batch
            parts.append(UploadedPart(_kept(chunks, most + 1), disposition.get("filename", "")))
    except (MultipartError, ApiError) as error:
        read_to_the_end(request)
        if isinstance(error, ApiError):
            raise
        what = (
            "has too many or too long headers or parts"
            if isinstance(error, ParserLimitReached)
            else "is damaged"
        )
        raise ApiError("BadRequestImageStream", f"The multipart body {what}.") from error
    return parts


def _segments(events: Iterator[Any]) -> Iterator[tuple[dict[str, str], Iterator[bytes]]]:
    """Yield the disposition and the chunks of each part; chunks that nobody takes are skipped."""
    for event in events:
        if isinstance(event, MultipartSegment):
            chunks = iter(lambda: next(events), None)
            header = event.header("Content-Disposition") or ""
            # The parser reads bytes as Latin-1; clients write names in UTF-8
            yield _parameters(header.encode("latin-1").decode("utf-8", "replace").strip()), chunks
            for _chunk in chunks:
                pass


def _kept(chunks: Iterator[bytes], most: int) -> bytes:
    kept = bytearray()
    for chunk in chunks:
        kept += chunk[: most - len(kept)]
    return bytes(kept)


def _limited(source: Any, most: int) -> Callable[[int], bytes]:
    """Return a function that reads from the body, and raises ApiError beyond `most` bytes."""
    left = most

    def read_some(size: int) -> bytes:
        nonlocal left
        chunk: bytes = source.read(size)
        left -= len(chunk)
        if left < 0:
            raise body_too_large(most)
        return chunk

    return read_some


def _parameters(header: str) -> dict[str, str]:
    """Return the parameters of a header by lower-case name; a file name keeps its quotes.

    Windows paths come with single backslashes, so a backslash escapes nothing but a quote or
    itself.
    """
    found = {}
    for name, quoted, plain in _PARAMETER.findall(header):
        value = re.sub(r'\\(["\\])', r"\1", quoted[1:-1]) if quoted else plain.strip()
        found[name.lower()] = f'"{value}"' if quoted and name.lower() == "filename" else value
    # RFC 5987: a file name beyond ASCII, which the standard library decodes
    if "filename" not in found and (extended := found.get("filename*")):
        message = Message()
        message["Content-Disposition"] = f"form-data; filename*={extended}"
        found["filename"] = message.get_filename() or ""
    return found


def _length(request: HttpRequest) -> int:
    return natural_number(request.headers.get("Content-Length", ""), most=2**63 - 1) or 0
