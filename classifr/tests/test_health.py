"""The probes: alive whatever happens behind us, ready only when everything can be used."""

import pytest
from django.db import connection

from classifr.health import readiness_cache
from predictions.tests.factories import make_live_model

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def look_anew():
    readiness_cache.invalidate()
    yield
    readiness_cache.invalidate()


def parts(client, *, status: int) -> dict[str, str]:
    response = client.get("/readyz")
    assert response.status_code == status, response.content
    return response.json()["parts"]


def test_a_plain_server_is_alive_and_ready(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert set(parts(client, status=200).values()) == {"ok"}


def test_without_a_database_it_is_alive_but_not_ready(client, monkeypatch):
    def refuse(*args):
        raise OSError("connection refused to 10.0.0.7")

    monkeypatch.setattr(connection, "cursor", refuse)
    assert client.get("/healthz").status_code == 200
    answer = parts(client, status=503)
    assert answer["database"] == "cannot be used"
    assert "10.0.0.7" not in str(answer), "anybody may ask"


def test_with_a_storage_that_cannot_be_used_it_is_not_ready(client, settings, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    broken = {
        "BACKEND": settings.STORAGES["uploads"]["BACKEND"],
        "OPTIONS": {"location": str(tmp_path / "file/in")},
    }
    settings.STORAGES = {**settings.STORAGES, "misclassified": broken}
    answer = parts(client, status=503)
    assert answer["storage misclassified"] == "cannot be used"
    assert answer["storage uploads"] == "ok"


def test_with_a_full_disk_it_is_not_ready(client, monkeypatch):
    monkeypatch.setattr("classifr.health.MIN_FREE_BYTES", 10**18)
    assert parts(client, status=503)["storage uploads"] == "disk full"


def test_with_a_live_model_that_can_be_loaded_it_is_ready(client):
    make_live_model()
    assert parts(client, status=200)["models"] == "ok"


@pytest.mark.parametrize(
    "fields", [{"predictor": "keras", "reference": "nowhere/at-all"}, {"predictor": "gone"}]
)
def test_with_a_live_model_that_cannot_be_loaded_it_is_not_ready(client, fields):
    make_live_model(**fields)
    assert parts(client, status=503)["models"] == "1 live models cannot be loaded"


def test_many_questions_are_one_look(client, django_assert_num_queries):
    client.get("/readyz")
    with django_assert_num_queries(0):
        client.get("/readyz")


def test_probes_need_no_https(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
