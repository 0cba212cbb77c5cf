"""Projects of texts are not there for clients of Custom Vision, which knows pictures alone."""

import io

import pytest
from django.urls import reverse

from customvision.api.tests.factories import make_caller
from customvision.exported.model_import import import_archive
from customvision.exported.refusals import CannotImport
from predictions.tests.factories import make_project, make_user

pytestmark = pytest.mark.django_db


def test_they_are_not_listed_and_not_found():
    pictures, mail = make_project(), make_project(modality="text")
    caller = make_caller()
    listed = [one["id"] for one in caller.training("GET", "projects").json()]
    assert str(pictures.uuid) in listed and str(mail.uuid) not in listed
    assert caller.training("GET", f"projects/{pictures.uuid}").status_code == 200
    answer = caller.training("GET", f"projects/{mail.uuid}")
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFoundProject")


def test_an_exported_model_is_refused_with_the_reason():
    with pytest.raises(CannotImport, match="holds texts"):
        import_archive(make_project(modality="text"), io.BytesIO(b""))


def test_the_pages_of_a_project_speak_of_custom_vision_where_it_holds_pictures(client):
    client.force_login(make_user("maintainer"))
    pictures, mail = make_project(), make_project(modality="text")
    for page, told in (
        ("training:project", "programs made for Azure Custom Vision"),
        ("training:models", "Import an exported model"),
    ):
        assert told in client.get(reverse(page, args=[pictures.slug])).content.decode()
        assert told not in client.get(reverse(page, args=[mail.slug])).content.decode()
