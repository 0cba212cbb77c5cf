import pytest
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from rest_framework.test import APIClient
from rest_framework.throttling import UserRateThrottle

from classifr import api
from common.errors import QuotaReached, Unavailable
from predictions.tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    client = APIClient()
    client.force_authenticate(make_user())
    return client


def error_of(response, status: int) -> dict:
    assert response.status_code == status
    answer = response.json()
    assert set(answer) == {"code", "message", "fields"}
    assert answer["message"]
    return answer


def test_without_a_token_the_answer_is_401():
    response = APIClient().get("/api/v1/projects/")
    assert error_of(response, 401)["code"] == "not_authenticated"
    assert response["WWW-Authenticate"] == "Token"


@pytest.mark.parametrize(
    "header", ["Token", "Token nonsense", "Token a b", "Token \xff", "Basic dTpw", "Bearer x"]
)
def test_a_wrong_token_is_401(header):
    response = APIClient().get("/api/v1/projects/", HTTP_AUTHORIZATION=header)
    error_of(response, 401)


def test_an_unknown_address_is_404(client):
    assert error_of(client.get("/api/v1/nowhere/"), 404)["code"] == "not_found"


def test_a_wrong_method_is_405(client):
    assert error_of(client.delete("/api/v1/projects/"), 405)["code"] == "method_not_allowed"


def test_another_form_than_json_is_406(client):
    error_of(client.get("/api/v1/projects/", HTTP_ACCEPT="text/html"), 406)


@pytest.mark.parametrize(
    "accepted", ["*/*", "application/json", "text/html, */*;q=0.8", "application/*"]
)
def test_whoever_takes_json_gets_it(client, accepted):
    assert (
        client.get("/api/v1/projects/", HTTP_ACCEPT=accepted)["Content-Type"] == "application/json"
    )


def test_a_form_that_is_asked_for_in_the_address_goes_first(client):
    error_of(client.get("/api/v1/projects/?format=xml", HTTP_ACCEPT="*/*"), 404)


def test_a_throttled_user_is_told_when_to_come_back(client, monkeypatch):
    monkeypatch.setattr(UserRateThrottle, "THROTTLE_RATES", {"user": "1/m"})
    assert client.get("/api/v1/projects/").status_code == 200
    response = client.get("/api/v1/projects/")
    assert error_of(response, 429)["code"] == "throttled"
    assert 0 < int(response["Retry-After"]) <= 60


def test_errors_speak_the_language_of_the_request(client):
    english = client.get("/api/v1/predictions/?before=x").json()["message"]
    assert english.startswith("This is not the end of a page")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unavailable("not now"), 503),
        (QuotaReached("too much", retry_after_seconds=7), 429),
        (OperationalError("gone"), 503),
        (RequestDataTooBig("big"), 413),
        (SuspiciousOperation("odd"), 400),
    ],
)
def test_every_error_has_the_one_form(error, status):
    response = api.exception_handler(error, {})
    assert response.status_code == status
    assert set(response.data) == {"code", "message", "fields"}
    assert response.get("Retry-After") == ("7" if isinstance(error, QuotaReached) else None)


def test_a_bug_is_left_to_be_a_500():
    assert api.exception_handler(ZeroDivisionError(), {}) is None


def test_the_description_names_every_operation():
    description = (
        APIClient().get("/api/v1/schema/", HTTP_ACCEPT="application/vnd.oai.openapi+json").json()
    )
    assert set(description["paths"]) == {
        "/api/v1/projects/",
        "/api/v1/projects/{slug}/predict",
        "/api/v1/predictions/",
        "/api/v1/predictions/{uuid}/",
        "/api/v1/predictions/{uuid}/feedback",
        "/api/v1/projects/{slug}/proposals",
        "/api/v1/predictions/{uuid}/origin/",
        "/api/v1/projects/{slug}/data-sets/",
        "/api/v1/projects/{slug}/data-sets/{older}/difference/{newer}/",
    }
    predict = description["paths"]["/api/v1/projects/{slug}/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {
        "multipart/form-data",
        "image/*",
        "application/octet-stream",
        "application/json",
        "text/plain",
    }
    error = description["components"]["schemas"]["Error"]
    assert set(error["properties"]) == {"code", "message", "fields"}


def test_the_page_to_try_it_has_a_form_for_every_operation():
    response = APIClient().get("/api/v1/schema/ui/")
    assert response.status_code == 200
    page = response.content.decode()
    assert page.count("data-try ") == 10
    assert 'data-path="/api/v1/projects/{slug}/predict"' in page
    assert 'type="file"' in page
    assert "'unsafe-inline'" not in response["Content-Security-Policy"]
