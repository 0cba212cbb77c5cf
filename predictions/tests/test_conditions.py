"""Capture conditions: read from a picture, given with it, and shown."""

from importlib import import_module

import pytest
from django.apps import apps
from django.urls import reverse
from PIL import Image

from accounts.tests.factories import make_token
from common.errors import InvalidInput
from predictions import batches, classification, conditions
from predictions.models import CaptureCondition, Prediction, Sample
from predictions.tests.factories import (
    make_live_model,
    make_prediction,
    make_project,
    make_sample,
    make_upload,
    make_user,
)

pytestmark = pytest.mark.django_db


def photo():
    """Return an upload with what a camera writes into it, its place and serial number included."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Acme", "Acme Pocket 7"
    exif.get_ifd(0x8769).update({0x9003: "2026:05:17 18:30:00", 0xA431: "SERIAL-1"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0)})
    return make_upload(exif=exif)


def told_of(sample: Sample) -> dict[str, str]:
    return dict(CaptureCondition.objects.filter(sample=sample).values_list("name", "value"))


@pytest.fixture
def project():
    return make_live_model().project


def test_camera_and_hour_are_read_and_neither_place_nor_serial_number(project):
    prediction = classification.classify_upload(project, photo(), by=make_user())
    assert told_of(prediction.sample) == {"camera": "Acme Pocket 7", "hour": "18"}


def test_what_is_given_is_kept_and_comes_before_what_was_read(project):
    given = {"line": "3", "camera": "left"}
    prediction = classification.classify_upload(project, photo(), by=make_user(), given=given)
    assert told_of(prediction.sample) == {"line": "3", "camera": "left", "hour": "18"}


def test_of_a_picture_that_is_sent_again_what_was_said_first_stays(project):
    data = make_upload().read()
    for given in ({"line": "3"}, {"line": "4", "shift": "late"}):
        prediction = classification.classify_upload(
            project, make_upload(data), by=make_user(), given=given
        )
    assert told_of(prediction.sample) == {"line": "3", "shift": "late"}


def test_all_pictures_of_a_batch_get_what_came_with_them(project):
    files = [make_upload(), make_upload()]
    batch = batches.create_batch(project, files, by=make_user(), given={"line": "3"})
    assert [told_of(item.sample) for item in batch.items.all()] == [{"line": "3"}] * 2


def test_a_picture_without_any_costs_no_further_statement(project, django_assert_num_queries):
    with django_assert_num_queries(0):
        conditions.record_conditions(Sample(), {})


def test_fields_of_a_form_are_told_by_their_form():
    fields = {"capture[line]": " 3 ", "capture[shift]": "", "file": "x", "line": "4"}
    assert conditions.submitted_conditions(fields) == {"line": "3"}


@pytest.mark.parametrize(
    "fields",
    [
        {"capture[Line]": "3"},
        {"capture[]": "3"},
        {"capture[a][b]": "3"},
        {"capture[line]": "x" * 101},
        {"capture[line]": "a\x00b"},
        {f"capture[n{number}]": "1" for number in range(9)},
    ],
)
def test_what_is_no_condition_is_refused(fields):
    with pytest.raises(InvalidInput):
        conditions.submitted_conditions(fields)


@pytest.mark.parametrize(
    ("capture", "camera"),
    [
        ({"camera_make": "Acme", "camera_model": "Pocket"}, "Acme Pocket"),
        ({"camera_make": "ACME", "camera_model": "Acme Pocket"}, "Acme Pocket"),
        ({"camera_model": "Pocket"}, "Pocket"),
        ({}, None),
    ],
)
def test_a_camera_is_named_once(capture, camera):
    assert conditions.conditions_of_capture(capture).get("camera") == camera


def test_the_migration_reads_what_samples_were_stored_with():
    sample = make_sample(capture={"camera_model": "Acme Pocket", "taken_at": "2026-05-17T08:00:00"})
    make_sample(capture={"format": "JPEG"})
    migration = import_module("predictions.migrations.0013_capture_conditions")
    migration.read_what_is_known(apps, None)
    assert told_of(sample) == {"camera": "Acme Pocket", "hour": "08"}
    assert CaptureCondition.objects.count() == 2


def test_a_program_gives_conditions_and_reads_them(client, project):
    user = make_user()
    headers = {"Authorization": f"Token {make_token(user)}"}
    address = reverse("api:predict", args=[project.slug])
    answer = client.post(address, {"file": make_upload(), "capture[line]": "3"}, headers=headers)
    found = client.get(reverse("api:prediction", args=[answer.json()["id"]]), headers=headers)
    assert found.json()["capture"] == {"line": "3"}
    refused = client.post(address, {"file": make_upload(), "capture[Li ne]": "3"}, headers=headers)
    assert refused.status_code == 400 and "capture[Li ne]" in refused.json()["fields"]


def test_with_a_picture_as_the_whole_body_they_come_in_the_query(client, project):
    headers = {"Authorization": f"Token {make_token(make_user())}"}
    address = reverse("api:predict", args=[project.slug]) + "?capture[line]=3"
    client.post(address, make_upload().read(), "image/jpeg", headers=headers)
    assert told_of(Prediction.objects.get().sample) == {"line": "3"}


def test_the_page_takes_and_shows_them(client, project):
    user = make_user()
    client.force_login(user)
    sent = {"file": make_upload(), "capture[line]": "press 3"}
    page = client.post(reverse("predictions:upload", args=[project.slug]), sent, follow=True)
    assert "press 3" in page.content.decode()


def test_projects_keep_their_conditions_apart():
    one, other = make_prediction(project=make_project()), make_prediction(project=make_project())
    conditions.record_conditions(one.sample, {"line": "3"})
    assert told_of(other.sample) == {}
