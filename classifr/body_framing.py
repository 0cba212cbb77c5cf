"""WSGI: a body that came in chunks gets the length it has; one that is compressed is refused.

`Transfer-Encoding: chunked` (`curl -T -`, a streaming proxy) comes without `Content-Length`, and
Django reads as many bytes as that header says: without it, none.
"""

import json
import logging
import tempfile
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from classifr.arrivals import IN_MEMORY_BYTES
from common.media.upload_handlers import longest_body

logger = logging.getLogger(__name__)

CHUNK_BYTES = 65_536

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class BodyFraming:
    """Wraps the application of Django."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("HTTP_CONTENT_ENCODING", "").strip().lower() not in ("", "identity"):
            return refuse(
                start_response,
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "A compressed body is not accepted. Send it without Content-Encoding.",
            )
        if not environ.get("HTTP_TRANSFER_ENCODING"):
            return self.application(environ, start_response)
        # Without this promise of the server (PEP 3333 has none) a read might wait for ever
        if not environ.get("wsgi.input_terminated"):
            return refuse(
                start_response, HTTPStatus.LENGTH_REQUIRED, "Send the body with a Content-Length."
            )
        with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as body:
            limit = longest_body()
            while chunk := environ["wsgi.input"].read(CHUNK_BYTES):
                try:
                    body.write(chunk)
                except OSError:
                    logger.exception("A body could not be kept in a temporary file")
                    return refuse(
                        start_response,
                        HTTPStatus.SERVICE_UNAVAILABLE,
                        "The server has no space left for this request. Try again in a minute.",
                    )
                if body.tell() > limit:
                    return refuse(
                        start_response,
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        "This request is too large.",
                    )
            environ["CONTENT_LENGTH"] = str(body.tell())
            body.seek(0)
            environ["wsgi.input"] = body
            return self.application(environ, start_response)


def refuse(start_response: StartResponse, status: HTTPStatus, message: str) -> list[bytes]:
    """Answer in the form of both APIs, which programs read; no browser sends such a body."""
    codes = {
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
        HTTPStatus.LENGTH_REQUIRED: "length_required",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
        HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
    }
    answer = json.dumps({"code": codes[status], "message": message, "fields": {}}).encode()
    start_response(
        f"{status.value} {status.phrase}",
        [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))],
    )
    return [answer]
