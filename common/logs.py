"""What goes into the log of the server."""

import logging

SERVER_ERROR = 500


class RefusalWithoutTraceback(logging.Filter):
    """Leaves one line of a refused request: anybody could fill a disk with tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "status_code", SERVER_ERROR) < SERVER_ERROR:
            record.exc_info = record.exc_text = None
        return True
