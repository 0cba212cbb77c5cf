"""Takes uploads in without ever holding more of a file than may be accepted.

A file that is too long is read to its end and forgotten, rather than cut off: so the sender gets
our sentence instead of a broken connection, the other files of the request are still accepted, and
memory stays flat.
"""

import logging
import tempfile
from collections.abc import Callable
from functools import wraps
from io import BytesIO
from typing import IO, Any, Protocol

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFilesSent
from django.core.files.base import File
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from common.errors import DomainError, InvalidInput, Unavailable
from common.media import images

logger = logging.getLogger(__name__)

_IN_MEMORY_BYTES = 512 * 1024  # per file; what is longer waits in a temporary file
_CHUNK_BYTES = 256 * 1024
_READ_TO_ITS_END_BYTES = 100_000_000


View = Callable[..., HttpResponse]


class BinaryReader(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Unreadable(BytesIO):
    """Stands for what was not kept; whoever reads it is told why."""

    def __init__(self, reason: DomainError) -> None:
        super().__init__()
        self.reason = reason

    def read(self, size: int | None = -1, /) -> bytes:
        raise self.reason


def longest_body() -> int:
    """Return how many bytes a request with several files, or with a data set, may have."""
    # Each file has the head of its part around it, and there are the fields of the form.
    around = settings.UPLOAD_BATCH_MAX_FILES * 10_000 + settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    files = max(settings.UPLOAD_REQUEST_MAX_BYTES, settings.UPLOAD_MAX_BYTES)
    longest = min(files, settings.UPLOAD_BATCH_MAX_FILES * settings.UPLOAD_MAX_BYTES)
    return int(max(longest, settings.IMPORT_MAX_BYTES) + around)


class SizeLimitedUploadHandler(FileUploadHandler):
    """Keeps each file in memory while it is short, then in a temporary file, then not at all.

    Args:
        most_bytes: how long a file may be, `UPLOAD_MAX_BYTES` unless given.
        refusal: makes what whoever reads a file that is too long is told.
    """

    def __init__(
        self,
        request: HttpRequest | None = None,
        *,
        most_bytes: int | None = None,
        refusal: Callable[[], DomainError] = images.file_too_large,
    ) -> None:
        super().__init__(request)
        self.most_bytes = int(settings.UPLOAD_MAX_BYTES if most_bytes is None else most_bytes)
        self.refusal = refusal

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, Any],
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        """Refuse at once, with 400, a body that is longer than the longest batch could be."""
        if content_length > longest_body():
            raise RequestDataTooBig(
                f"A body of {content_length} bytes is longer than any upload may be."
            )

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 (closed by the request)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if isinstance(self.file, _Unreadable):
            return
        # Refused here and not by raising: the other files of the request are still taken.
        if start + len(raw_data) > self.most_bytes:
            self._forget(self.refusal())
            return
        try:
            self.file.write(raw_data)
        except OSError:
            logger.exception("An upload could not be kept in a temporary file")
            self._forget(_no_space())

    def _forget(self, reason: DomainError) -> None:
        self.file.close()
        self.file = _Unreadable(reason)

    def file_complete(self, file_size: int) -> UploadedFile:
        """Return the file with the length that was sent; a refused one raises when it is read."""
        self.file.seek(0)
        return UploadedFile(
            self.file,
            self.file_name,
            self.content_type,
            file_size,
            self.charset,
            self.content_type_extra,
        )

    def upload_interrupted(self) -> None:
        if hasattr(self, "file"):
            self.file.close()


def takes_longer_files(
    most_bytes: Callable[[], int], refusal: Callable[[], DomainError]
) -> Callable[[View], View]:
    """Make a decorator for a view whose files may be longer than pictures: the innermost one.

    The token against forged requests is in the body, which is read only when it is clear how much
    of it may come: it is checked then, after the permissions.
    """

    def decorate(view: View) -> View:
        protected = csrf_protect(view)

        @csrf_exempt  # here alone; decorators around it take that over
        @wraps(view)
        def with_longer_files(request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
            handler = SizeLimitedUploadHandler(request, most_bytes=most_bytes(), refusal=refusal)
            request.upload_handlers = [handler]
            return protected(request, *args, **kwargs)

        return with_longer_files

    return decorate


def rejection_message(exception: Exception) -> InvalidInput | None:
    """Return what to tell the sender of a body refused before any view; None for other errors."""
    if isinstance(exception, TooManyFilesSent):
        message = _("Too many files at once. Send at most %(count)s, then the rest.")
    elif isinstance(exception, RequestDataTooBig):
        message = _("Too much at once: at most %(megabytes)s MB. Send some first, then the rest.")
    else:
        return None
    limits = {
        "count": settings.UPLOAD_BATCH_MAX_FILES,
        "megabytes": f"{settings.UPLOAD_REQUEST_MAX_BYTES / 1e6:g}",
    }
    return InvalidInput(message % limits, code="too_large")


def _no_space() -> Unavailable:
    return Unavailable(
        _("The server has no space for the file right now. Try again in a minute."),
        retry_after_seconds=60,
    )


def read_upload(file: File) -> bytes:
    """Return the bytes of an uploaded file. Raises InvalidPicture if there are too many."""
    if file.size > settings.UPLOAD_MAX_BYTES:
        raise images.file_too_large()
    try:
        file.seek(0)
        return file.read()
    except OSError as error:
        raise _no_space() from error


def read_body(stream: BinaryReader, limit: int | None = None) -> bytes:
    """Return a raw request body of at most `limit` bytes, `UPLOAD_MAX_BYTES` unless given.

    What is longer is read on and forgotten for a while, so that the sender is there to read the
    answer.

    Raises:
        InvalidPicture: the body is longer.
    """
    limit = settings.UPLOAD_MAX_BYTES if limit is None else limit
    kept, length = [], 0
    while length <= limit and (chunk := stream.read(_CHUNK_BYTES)):
        length += len(chunk)
        kept.append(chunk)
    if length > limit:
        kept.clear()  # its memory is free while the rest drips in
        read_to_the_end(stream)
        raise images.file_too_large()
    return b"".join(kept)


def read_to_the_end(stream: BinaryReader) -> None:
    """Read what is left of a refused body, and forget it."""
    # Up to a limit: whoever sends for ever reads no answer.
    length = 0
    while length <= _READ_TO_ITS_END_BYTES and (chunk := stream.read(_CHUNK_BYTES)):
        length += len(chunk)
