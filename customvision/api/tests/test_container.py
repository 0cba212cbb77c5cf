"""The interface of exported containers: only where it is wanted, and never for nobody's account."""

import json

import pytest
from django.core.checks import run_checks
from django.test import Client

from accounts.tests.factories import make_maintainer, make_token, make_user
from customvision.api.tests.factories import multipart
from predictions.models import DailyUploads, Prediction, Project, Sample
from predictions.tests.factories import make_live_model, make_picture_bytes, make_project

pytestmark = pytest.mark.django_db

IMAGES = ("/image", "/any/image", "/any/image/nostore")
ITERATION = "/0a/classify/iterations/Iteration1"


@pytest.fixture
def project():
    project = make_project(slug="edge")
    make_live_model(project)
    return project


@pytest.fixture
def edge(project, settings):
    """The account in whose name devices without a key are answered."""
    settings.CONTAINER_PROJECT = project.slug
    settings.CONTAINER_USER = "edge"
    return make_user("edge")


def send(path: str, data: bytes = b"", kind: str = "application/octet-stream", **headers):
    data = data or make_picture_bytes("red", format="PNG")
    return Client().post(path, data, content_type=kind, headers=headers)


@pytest.mark.parametrize("path", [*IMAGES, f"{ITERATION}/image", f"{ITERATION}/image/nostore"])
def test_a_device_changes_only_the_address(path, edge, project):
    answer = send(path)
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert set(body) == {"created", "id", "iteration", "predictions", "project"}
    assert (body["id"], body["iteration"], body["project"]) == ("", "", "")
    assert "T" in body["created"] and "+" not in body["created"]
    names = {one["tagName"] for one in body["predictions"]}
    assert names == set(project.categories.values_list("name", flat=True))
    for one in body["predictions"]:
        assert set(one) == {"boundingBox", "probability", "tagId", "tagName"}
        assert (one["boundingBox"], one["tagId"]) == (None, "")
        assert 0 <= one["probability"] <= 1 and round(one["probability"], 8) == one["probability"]


def test_nothing_is_kept(edge):
    assert send("/image").status_code == 200
    assert not Sample.objects.exists() and not Prediction.objects.exists()


def test_a_form_is_read_with_and_without_a_file_name(edge):
    picture = make_picture_bytes("red", format="PNG")
    for disposition in (
        'form-data; name="imageData"; filename="x.png"',
        'form-data; name="imageData"',
    ):
        body, kind = multipart(picture, disposition=disposition)
        assert send("/image", body, kind).status_code == 200


@pytest.mark.parametrize("kind", ["image/jpeg", "application/x-www-form-urlencoded", "text/plain"])
def test_a_body_of_any_type_is_the_picture(kind, edge):
    assert send("/image", kind=kind).status_code == 200


@pytest.mark.parametrize("path", ["/url", "/any/url", f"{ITERATION}/url/nostore"])
def test_an_address_is_fetched(path, edge, monkeypatch):
    asked = []

    def fetch(url, *, most_bytes):
        asked.append(url)
        return make_picture_bytes("red", format="PNG")

    monkeypatch.setattr("common.fetching.fetch_url", fetch)
    body = json.dumps({"url": "https://example.com/x.png"}).encode()
    assert send(path, body, "application/json").status_code == 200
    assert asked == ["https://example.com/x.png"]


def test_a_private_address_is_refused(edge):
    body = json.dumps({"url": "http://127.0.0.1/x.png"}).encode()
    answer = send("/url", body, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequestImageUrl")


def test_what_is_no_picture_is_refused(edge):
    assert send("/image", b"no picture").json()["code"] == "BadRequestImageFormat"
    assert send("/url", b"{}", "application/json").status_code == 400
    too_long = send("/image", bytes(4 * 1024 * 1024 + 1))
    assert too_long.json()["code"] == "BadRequestImageSizeBytes"


def test_every_picture_counts_for_the_account(edge, settings):
    settings.UPLOAD_RATE = "2/d"
    assert [send("/image").status_code for _time in range(2)] == [200, 200]
    assert send("/image", b"no picture").status_code == 429
    refused = send("/image")
    assert refused.status_code == 429 and int(refused["Retry-After"]) > 0
    assert DailyUploads.objects.get().user == edge


def test_it_is_off_unless_a_project_is_named(project, settings):
    settings.CONTAINER_USER = "edge"
    make_user("edge")
    for path in (*IMAGES, "/url"):
        assert send(path).status_code == 404


def test_without_an_account_a_key_is_needed(project, settings):
    settings.CONTAINER_PROJECT = project.slug
    assert send("/image").status_code == 401
    user = make_user("somebody")
    assert send("/image", **{"Prediction-Key": make_token(user)}).status_code == 200
    assert DailyUploads.objects.get().user == user


def test_a_wrong_key_is_no_missing_one(edge):
    assert send("/image", **{"Prediction-Key": "wrong"}).status_code == 401


def test_an_account_that_may_nothing_gives_nothing(edge):
    edge.groups.clear()
    assert send("/image").status_code == 403
    edge.is_active = False
    edge.save()
    assert send("/image").status_code == 401


def test_a_private_project_is_not_there_for_an_account_that_is_no_member(edge, project):
    Project.objects.filter(pk=project.pk).update(is_private=True)
    assert send("/image").json()["code"] == "NotFoundProject"


def test_a_session_counts_for_nothing(project, settings):
    settings.CONTAINER_PROJECT = project.slug
    client = Client()
    client.force_login(make_maintainer())
    picture = make_picture_bytes("red", format="PNG")
    answer = client.post("/image", picture, content_type="application/octet-stream")
    assert answer.status_code == 401


def test_only_posts_are_answered(edge):
    assert Client().get("/image").status_code == 405


def test_without_a_model_or_project_it_is_said(edge, settings):
    make_project(slug="empty")
    settings.CONTAINER_PROJECT = "empty"
    assert send("/image").status_code == 409
    settings.CONTAINER_PROJECT = "nowhere"
    assert send("/image").json()["code"] == "NotFoundProject"


def test_its_settings_are_checked(project, settings):
    settings.CONTAINER_USER = "nobody"
    assert "customvision.E002" in [each.id for each in run_checks()]
    settings.CONTAINER_PROJECT = "nowhere"
    found = {each.id for each in run_checks(databases=["default"])}
    assert {"customvision.W003", "customvision.W004"} <= found
    settings.CONTAINER_PROJECT, settings.CONTAINER_USER = project.slug, make_user("edge").username
    found = {each.id for each in run_checks(databases=["default"])}
    assert not {each for each in found if each.startswith("customvision.")}
