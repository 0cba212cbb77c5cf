"""Addresses of pictures as real clients send them, and pages of other sites that ask."""

import pytest

from common import fetching
from customvision.api.tests.factories import make_caller, make_published
from predictions.tests.factories import make_picture_bytes

pytestmark = pytest.mark.django_db


@pytest.fixture
def caller():
    return make_caller()


@pytest.fixture
def classify(caller, monkeypatch):
    """Ask about the picture at an address, which is fetched from nowhere; return the answer."""
    project, _tags, _iteration = make_published(caller, name="Live One")

    def fetch(url: str, most_bytes: int) -> bytes:
        assert url == "https://example.com/a%20b.jpg?c=d"
        return make_picture_bytes()

    monkeypatch.setattr(fetching, "fetch_url", fetch)

    def send(body: bytes, content_type: str = "application/json", *, name: str = "Live One"):
        path = f"{project.uuid}/classify/iterations/{name}/url"
        return caller.prediction("POST", path, body, content_type=content_type)

    return send


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{'url' : 'https://example.com/a%20b.jpg?c=d'}", "application/json"),
        (b"{ 'Url':'https://example.com/a%20b.jpg?c=d', }\n", "application/json"),
        (
            b"url=https%3A%2F%2Fexample.com%2Fa%2520b.jpg%3Fc%3Dd",
            "application/x-www-form-urlencoded",
        ),
        (b"https://example.com/a%20b.jpg?c=d\n", "text/plain"),
        (b'{"URL": "https://example.com/a%20b.jpg?c=d"}', "text/plain"),
    ],
)
def test_an_address_is_read_as_real_clients_send_it(classify, body, content_type):
    assert classify(body, content_type).status_code == 200


@pytest.mark.parametrize("body", [b"{'url': 'a', 'b': 1}", b"{'url'}", b"file:///etc/passwd"])
def test_what_is_no_address_is_refused(classify, body):
    assert classify(body).status_code == 400


def test_a_published_name_is_found_in_any_case(classify):
    body = b'{"url": "https://example.com/a%20b.jpg?c=d"}'
    assert classify(body, name="live%20one").status_code == 200
    assert classify(body, name="live").status_code == 404


def test_a_page_of_another_site_may_ask_for_predictions_only(caller, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    for path, is_allowed in (("prediction/x/classify", True), ("training/projects", False)):
        answer = caller.client.options(
            f"/customvision/v3.1/{path}",
            headers={
                "Origin": "https://app.example.com",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "prediction-key",
            },
        )
        allowed = answer.headers.get("Access-Control-Allow-Origin")
        assert allowed == ("https://app.example.com" if is_allowed else None)
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_page_of_a_site_that_is_not_named_may_not(caller):
    answer = caller.client.options(
        "/customvision/v3.1/prediction/x/classify",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert "Access-Control-Allow-Origin" not in answer.headers
