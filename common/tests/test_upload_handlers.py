"""Whatever is sent, no more of it is held than may be accepted, and the sender gets an answer."""

import io
import tracemalloc
from collections.abc import Iterator

import pytest
from django.core.exceptions import RequestDataTooBig
from django.core.files.base import ContentFile
from django.core.handlers.wsgi import WSGIRequest
from django.http.multipartparser import MultiPartParser
from django.test import Client
from django.urls import reverse

from common.errors import Unavailable
from common.media import upload_handlers
from common.media.images import InvalidPicture
from common.media.upload_handlers import SizeLimitedUploadHandler, read_body, read_upload

BOUNDARY = "----boundary"
CHUNK = bytes(64 * 1024)


class Stream:
    """A request body made on the way, which takes no memory; counts what was read of it."""

    def __init__(self, *parts: bytes | int) -> None:
        self.pieces, self.rest, self.count = self._pieces(parts), b"", 0

    def _pieces(self, parts: tuple[bytes | int, ...]) -> Iterator[bytes]:
        for part in parts:
            if isinstance(part, bytes):
                yield part
            else:
                yield from (
                    CHUNK[: min(len(CHUNK), part - at)] for at in range(0, part, len(CHUNK))
                )

    def read(self, size: int = -1) -> bytes:
        while len(self.rest) < size and (piece := next(self.pieces, b"")):
            self.rest += piece
        answer, self.rest = self.rest[:size], self.rest[size:]
        self.count += len(answer)
        return answer

    readline = read


def head(name: str = "a.jpg") -> bytes:
    disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    return f"--{BOUNDARY}\r\n{disposition}\r\nContent-Type: image/jpeg\r\n\r\n".encode()


def request_with(*contents: bytes | int) -> WSGIRequest:
    """Return a form with these files; a number stands for as many zero bytes."""
    parts: list[bytes | int] = []
    for content in contents:
        parts += [head(), content, b"\r\n"]
    parts.append(f"--{BOUNDARY}--\r\n".encode())
    length = sum(part if isinstance(part, int) else len(part) for part in parts)
    return WSGIRequest(
        {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": f"multipart/form-data; boundary={BOUNDARY}",
            "CONTENT_LENGTH": str(length),
            "wsgi.input": Stream(*parts),
        }
    )


@pytest.fixture(autouse=True)
def four_megabytes(settings):
    settings.UPLOAD_MAX_BYTES = 4_000_000


def test_a_form_hands_its_file_over():
    request = request_with(b"some bytes")
    file = request.FILES["file"]
    assert (file.name, file.size, file.content_type) == ("a.jpg", 10, "image/jpeg")
    assert read_upload(file) == read_upload(file) == b"some bytes"
    request.close()
    assert file.closed


@pytest.mark.parametrize("length", [0, 1, 500_000, 524_288, 524_289, 4_000_000])
def test_files_up_to_the_limit_arrive_whole(length):
    data = bytes(range(250)) * (length // 250) + b"x" * (length % 250)
    assert read_upload(request_with(data).FILES["file"]) == data


@pytest.mark.parametrize("length", [4_000_001, 5_000_000])
def test_a_file_over_the_limit_is_refused_when_it_is_read(length):
    file = request_with(length).FILES["file"]
    assert file.size == length
    with pytest.raises(InvalidPicture, match="too large"):
        read_upload(file)
    with pytest.raises(InvalidPicture, match="too large"):
        file.read()


def test_of_several_files_only_the_long_one_is_refused():
    first, second, third = request_with(b"one", 5_000_000, b"three").FILES.getlist("file")
    assert (read_upload(first), read_upload(third)) == (b"one", b"three")
    with pytest.raises(InvalidPicture):
        read_upload(second)


def test_the_body_is_read_to_its_end():
    request = request_with(10_000_000)
    assert request.FILES["file"]
    assert request.environ["wsgi.input"].count == int(request.environ["CONTENT_LENGTH"])


def test_64_megabytes_take_little_memory():
    request = request_with(64_000_000)
    tracemalloc.start()
    assert request.FILES["file"].size == 64_000_000
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6_000_000


def test_a_full_batch_takes_little_memory():
    request = request_with(*[3_000_000] * 20)
    tracemalloc.start()
    assert len(request.FILES.getlist("file")) == 20
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    request.close()
    assert peak < 20_000_000


def test_a_body_longer_than_any_batch_is_refused_unread():
    stream = Stream(head())
    meta = {
        "CONTENT_TYPE": f"multipart/form-data; boundary={BOUNDARY}",
        "CONTENT_LENGTH": str(10**12),
    }
    with pytest.raises(RequestDataTooBig):
        MultiPartParser(meta, stream, [SizeLimitedUploadHandler()]).parse()
    assert stream.count == 0


@pytest.mark.parametrize("htmx", [{}, {"HX-Request": "true"}])
@pytest.mark.django_db
def test_more_files_than_a_batch_are_refused_with_a_sentence(settings, htmx):
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = settings.UPLOAD_BATCH_MAX_FILES = 2
    files = [ContentFile(b"bytes", name=f"{number}.jpg") for number in range(3)]
    client = Client(enforce_csrf_checks=True)
    client.get(reverse("account_login"))
    answer = client.post(reverse("account_login"), {"file": files}, headers=htmx)
    assert answer.status_code == 400
    assert "Send at most 2" in answer.content.decode()


def test_a_full_temporary_folder_is_told(monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(upload_handlers.tempfile, "SpooledTemporaryFile", lambda size: Full())
    file = request_with(b"bytes").FILES["file"]
    with pytest.raises(Unavailable, match="no space"):
        read_upload(file)


def test_a_file_from_elsewhere_is_limited_as_well():
    assert read_upload(ContentFile(b"bytes")) == b"bytes"
    with pytest.raises(InvalidPicture):
        read_upload(ContentFile(bytes(4_000_001)))


def test_a_raw_body_up_to_the_limit_arrives_whole():
    assert read_body(Stream(b"some bytes"), 10) == b"some bytes"
    assert len(read_body(Stream(4_000_000))) == 4_000_000


def test_a_raw_body_over_the_limit_is_read_and_refused():
    stream = Stream(64_000_000)
    tracemalloc.start()
    with pytest.raises(InvalidPicture, match="too large"):
        read_body(stream)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert stream.count == 64_000_000
    assert peak < 9_000_000


def test_of_an_endless_body_not_everything_is_read():
    stream = Stream(10**12)
    with pytest.raises(InvalidPicture):
        read_body(stream, 1_000)
    assert stream.count < 101_000_000
