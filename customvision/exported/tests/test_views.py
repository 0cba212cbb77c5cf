"""The page on which maintainers send an exported model."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.tests.factories import make_maintainer, make_reviewer
from common import jobs, tasks
from common.models import Job
from customvision.exported import archive
from customvision.exported.tests.factories import (
    FROM_RGB,
    SQUARE_RGB,
    make_archive,
    make_tflite,
)
from predictions import registry
from predictions.models import Prediction
from predictions.tests.factories import make_project, make_upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    tasks.autodiscover()
    return make_project(slug="colours")


@pytest.fixture
def client():
    client = Client()
    client.force_login(make_maintainer())
    return client


@pytest.fixture
def address(project):
    return reverse("customvision:import_model", args=[project.slug])


def zip_file(data: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("export.zip", data, content_type="application/zip")


def test_a_model_is_sent_imported_promoted_and_answers(client, project, address):
    data = make_archive(make_tflite(FROM_RGB), properties=SQUARE_RGB)
    sent = client.post(address, {"archive": zip_file(data), "promote": "on"})
    assert sent.status_code == 302 and sent["Location"] == address
    assert "waits for a worker" in client.get(address).content.decode()
    part = client.get(address, headers={"HX-Request": "true"})
    assert b"model-import" in part.content and b"<html" not in part.content
    jobs.run_due_jobs()
    done = client.get(address, headers={"HX-Request": "true"})
    assert (done.status_code, done["HX-Refresh"]) == (204, "true")
    assert "The last import is done" in client.get(address).content.decode()
    assert registry.live_version(project).predictor == "exported"
    page = client.get(reverse("training:models", args=[project.slug])).content.decode()
    assert address in page and "blue, green, red" in page
    upload = reverse("predictions:upload", args=[project.slug])
    assert client.post(upload, {"file": make_upload(colour="red")}).status_code == 302
    assert Prediction.objects.get().top.name == "red"


def test_why_not_is_on_the_page(client, address):
    data = make_archive(make_tflite(custom="FlexErf"))
    client.post(address, {"archive": zip_file(data)})
    jobs.run_due_jobs()
    page = client.get(address).content.decode()
    assert "The last import failed" in page and "FlexErf" in page


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({}, "This field is required"),
        ({"archive": b"no archive"}, "This is no ZIP archive"),
        ({"archive": b""}, "empty"),
    ],
)
def test_what_is_no_export_is_refused_at_once(client, address, sent, sentence):
    answer = client.post(address, {name: zip_file(data) for name, data in sent.items()})
    assert answer.status_code == 400 and sentence in answer.content.decode()
    assert not Job.objects.exists()


def test_an_archive_may_be_longer_than_a_picture_but_not_endless(
    client, address, settings, monkeypatch
):
    settings.UPLOAD_MAX_BYTES = 100
    assert client.post(address, {"archive": zip_file(make_archive())}).status_code == 302
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", 100)
    answer = client.post(address, {"archive": zip_file(make_archive())})
    assert answer.status_code == 400 and "larger than" in answer.content.decode()


def test_another_one_waits(client, address):
    client.post(address, {"archive": zip_file(make_archive())})
    answer = client.post(address, {"archive": zip_file(make_archive())})
    assert answer.status_code == 409 and "already" in answer.content.decode()
    assert Job.objects.count() == 1


def test_without_the_token_of_the_form_nothing_is_read(project, address):
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_maintainer())
    answer = client.post(address, {"archive": zip_file(make_archive())})
    assert answer.status_code == 403 and not Job.objects.exists()


def test_reviewers_may_not(project, address):
    client = Client()
    client.force_login(make_reviewer())
    assert client.post(address, {"archive": zip_file(make_archive())}).status_code == 403
    assert client.get(address).status_code == 403
