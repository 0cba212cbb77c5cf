"""A body without Content-Length is read to its end everywhere, and a compressed one is refused."""

import errno
import io
from collections.abc import Callable, Iterable
from http.cookies import SimpleCookie

import pytest
from django.test import Client, RequestFactory
from django.test.client import ClientHandler
from django.urls import reverse

from accounts.tests.factories import make_maintainer, make_token
from classifr import body_framing
from classifr.body_framing import BodyFraming
from classifr.wsgi import application
from predictions.models import Prediction
from predictions.tests.factories import (
    make_live_model,
    make_picture_bytes,
    make_project,
    make_upload,
)

pytestmark = pytest.mark.django_db
PREDICT = "/api/v1/projects/dishes/predict"


@pytest.fixture
def token() -> str:
    maintainer = make_maintainer()
    make_live_model(make_project(slug="dishes"))
    return make_token(maintainer)


def send(path: str, data: object, content_type: str | None = None, **headers: str):
    """Send it in chunks, as a web server hands that on; return status and body of the answer."""
    options = {"content_type": content_type} if content_type else {}
    environ = RequestFactory().post(path, data, headers=headers, **options).environ
    del environ["CONTENT_LENGTH"]
    environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    environ["wsgi.input_terminated"] = True
    environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read())
    statuses = []
    body = b"".join(BodyFraming(django)(environ, lambda *start: statuses.append(start[0])))
    return int(statuses[0].split()[0]), body


def django(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """Answer as the application of Django does, on the connection of the test."""
    response = ClientHandler(enforce_csrf_checks=True)(environ)
    start_response(f"{response.status_code} {response.reason_phrase}", response.items())
    return response


def test_the_application_of_a_server_reads_them():
    assert isinstance(application, BodyFraming)


@pytest.mark.parametrize("data", [make_picture_bytes, lambda: {"file": make_upload()}])
def test_a_picture_in_chunks_is_answered(token, data):
    content_type = "image/jpeg" if data is make_picture_bytes else None
    status, body = send(PREDICT, data(), content_type, Authorization=f"Token {token}")
    assert status == 200, body
    assert Prediction.objects.count() == 1


def test_json_in_chunks_is_read(token):
    status, body = send(
        "/customvision/v3.3/training/projects?name=cakes",
        {},
        "application/json",
        **{"Training-Key": token},
    )
    assert status == 200, body


def test_a_form_in_chunks_is_read(client):
    client.get(reverse("account_login"))
    form = {"login": "nobody", "password": "x", "csrfmiddlewaretoken": csrf_of(client)}
    status, body = send(reverse("account_login"), form, Cookie=client.cookies.output(header=""))
    assert status == 200 and b"password you specified" in body


def csrf_of(client: Client) -> str:
    cookies: SimpleCookie = client.cookies
    return cookies["csrftoken"].value


def test_one_that_is_too_long_is_refused(token, monkeypatch):
    monkeypatch.setattr(body_framing, "longest_body", lambda: 100)
    status, body = send(PREDICT, make_picture_bytes(), "image/jpeg", Authorization=f"Token {token}")
    assert status == 413 and b"too large" in body


def test_a_full_disk_is_told_and_waited_for(token, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(body_framing.tempfile, "SpooledTemporaryFile", lambda size: Full())
    status, body = send(PREDICT, make_picture_bytes(), "image/jpeg", Authorization=f"Token {token}")
    assert status == 503 and b"no space left" in body


def test_a_compressed_body_is_refused(token):
    headers = {"Authorization": f"Token {token}", "Content-Encoding": "gzip"}
    status, body = send(PREDICT, make_picture_bytes(), "image/jpeg", **headers)
    assert status == 415 and b"Content-Encoding" in body
    assert not Prediction.objects.exists()
