"""What goes into the log of the server, as lines or as JSON, and for which request.

A request has an id, which its answer and all its log lines bear, and so do the background jobs that
it asked for.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

SERVER_ERROR = 500
SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=+-]{0,63}")

_request_id: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """Return the id of the request that is being worked for; empty if there is none."""
    return _request_id.get()


@contextmanager
def working_for(request_id: str) -> Iterator[None]:
    """Have log lines and jobs that come of what follows bear this id."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def _request_id_of(record: logging.LogRecord) -> str:
    # Django logs refused and failed requests after its middleware, and passes the request along
    return current_request_id() or getattr(getattr(record, "request", None), "request_id", "")


class RefusalWithoutTraceback(logging.Filter):
    """Leaves one line of a refused request: anybody could fill a disk with tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "status_code", SERVER_ERROR) < SERVER_ERROR:
            record.exc_info = record.exc_text = None
        return True


class LineFormatter(logging.Formatter):
    """A line for people; the id of the request at its end."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name in logging)
        request_id = _request_id_of(record)
        return super().formatMessage(record) + (f" [{request_id}]" if request_id else "")


class JsonFormatter(logging.Formatter):
    """One JSON object on a line, whatever is in the message."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if request_id := _request_id_of(record):
            said["request_id"] = request_id
        if status := getattr(record, "status_code", None):
            said["status"] = status
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False, default=str)
