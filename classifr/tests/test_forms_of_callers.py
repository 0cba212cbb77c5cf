"""The text of a form is bounded before it is read: each escape in it takes many times its bytes."""

import tracemalloc

import pytest
from django.conf import settings
from django.urls import reverse

URLENCODED = "application/x-www-form-urlencoded"

pytestmark = pytest.mark.django_db


def post(client, body: bytes, content_type: str = URLENCODED) -> tuple[int, int]:
    """Return the answer's status and how much memory was taken at most."""
    tracemalloc.start()
    response = client.post(reverse("account_login"), body, content_type=content_type)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return response.status_code, peak


@pytest.mark.parametrize("unit", [b"%41", b"a=b&", b"a"])
def test_a_form_of_megabytes_is_refused_and_takes_little_memory(client, unit):
    body = b"login=" + unit * (2_000_000 // len(unit))
    status, peak = post(client, body)
    assert status == 400 and peak < 5 * len(body)


def test_a_long_text_in_a_form_is_read(client):
    body = b"login=" + "寿司".encode() * 1_000 + b"&password=x"
    assert len(body) < settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert post(client, body)[0] == 200
