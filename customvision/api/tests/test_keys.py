"""Whose key may do what, and how addresses may be written."""

import pytest
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.tests.factories import make_maintainer, make_reviewer, make_user
from common import jobs, tasks
from customvision.api import dispatch
from customvision.api.routing import operations
from customvision.api.tests.factories import make_caller, make_published, make_tagged
from predictions.models import Prediction, Sample
from predictions.tests.factories import make_live_model, make_picture_bytes, make_project
from training.data import sent_datasets

assert dispatch.OPERATION_MODULES, "registers the operations"
pytestmark = pytest.mark.django_db
NOBODY = "00000000-0000-0000-0000-000000000000"


def path_of(operation) -> str:
    names = ("projectId", "iterationId", "imageId", "publishedName", "tagId", "domainId")
    return operation.template.format_map(dict.fromkeys(names, NOBODY))


@pytest.mark.parametrize("make", [make_user, make_reviewer])
def test_training_is_for_maintainers_and_classifying_for_all(make):
    caller = make_caller(make())
    for operation in operations:
        response = getattr(caller, operation.area)(operation.method, path_of(operation))
        is_for_maintainers = (
            operation.area == "training" and operation.permission != "review.add_decision"
        )
        if is_for_maintainers or (make is make_user and operation.area == "training"):
            assert response.status_code == 403, operation.name
            assert response.json()["code"] == "ForbiddenUserInsufficientCapability"
        else:
            assert response.status_code in (400, 404), operation.name


def test_somebody_without_a_role_may_nothing():
    user = make_user()
    user.groups.clear()
    caller = make_caller(user)
    assert {
        getattr(caller, one.area)(one.method, path_of(one)).status_code for one in operations
    } == {403}


def test_a_session_is_no_key():
    client = Client()
    client.force_login(make_maintainer())
    response = client.get("/customvision/v3.3/training/projects")
    assert response.status_code == 401 and response.reason_phrase == "Access Denied"
    answer = response.json()
    assert answer["error"]["code"] == "401"
    assert (answer["code"], answer["message"]) == ("Forbidden", answer["error"]["message"])


def test_the_key_of_a_deactivated_user_is_none():
    user = make_maintainer()
    caller = make_caller(user)
    user.is_active = False
    user.save(update_fields=["is_active"])
    assert caller.training("GET", "projects").status_code == 401


@pytest.mark.parametrize(
    "address",
    [
        "/customvision/v3.3/Training/projects",
        "/CustomVision/V3.3/training/Projects",
        "//customvision//v3.3/training//projects",
    ],
)
def test_case_and_double_slashes_do_not_matter(address):
    caller = make_caller()
    for header, status in (
        ("training-KEY", 200),
        ("Ocp-Apim-Subscription-Key", 200),
        ("Prediction-Key", 401),
    ):
        # As it comes from a server: the test client would take what follows two slashes for a host
        response = caller.client.get("/", PATH_INFO=address, headers={header: caller.token})
        assert response.status_code == status


@pytest.mark.parametrize("path", ["nothing", "projects/a/b/c/d/e/f", ""])
def test_what_is_no_operation_is_not_found(path):
    assert make_caller().training("GET", path).json()["error"]["code"] == "404"
    assert make_caller(version="2.2").training("GET", "projects").status_code == 404
    assert make_caller().training("PUT", "projects").status_code == 404


def test_too_many_pictures_are_refused_as_the_gateway_does(settings):
    settings.UPLOAD_RATE = "1/h"
    caller = make_caller(make_user())
    project, _tags, _iteration = make_published(make_caller())
    path = f"{project.uuid}/classify/iterations/live one/image/nostore"
    assert caller.prediction("POST", path, make_picture_bytes()).status_code == 200
    refusal = caller.prediction("POST", path, make_picture_bytes())
    assert refusal.status_code == 429 and int(refusal["Retry-After"]) > 0
    assert refusal.json()["error"]["code"] == "429"


def test_what_is_not_stored_leaves_nothing_behind():
    caller = make_caller()
    project, _tags, _iteration = make_published(caller)
    samples = Sample.objects.count()
    path = f"{project.uuid}/classify/iterations/live%20one/image/nostore"
    assert caller.prediction("POST", path, make_picture_bytes()).status_code == 200
    assert Sample.objects.count() == samples and not Prediction.objects.exists()


def test_pictures_have_addresses_of_a_day_that_need_no_key(monkeypatch):
    caller = make_caller()
    project, _tags = make_tagged(caller, pictures=1)
    image = caller.training("GET", f"projects/{project.uuid}/images/tagged").json()[0]
    for name in ("originalImageUri", "resizedImageUri", "thumbnailUri"):
        response = Client().get(image[name])
        assert response.status_code == 200 and response["Content-Type"] in (
            "image/png",
            "image/jpeg",
        )
    monkeypatch.setattr("customvision.api.picture_links.SECONDS", -1)
    assert Client().get(image["originalImageUri"]).status_code == 404
    assert Client().get(reverse("customvision:picture", args=["original.x:y:z"])).status_code == 404


def test_a_project_whose_model_is_live_in_classifr_is_not_deleted():
    caller = make_caller()
    project = make_project()
    make_live_model(project)
    response = caller.training("DELETE", f"projects/{project.uuid}")
    assert response.json()["code"] == "BadRequestWorkspaceNotDeletable"
    project.refresh_from_db()


def test_the_files_of_a_deleted_project_go_too():
    caller = make_caller()
    project, _tags = make_tagged(caller, pictures=1)
    names = [sample.file_name for sample in Sample.objects.all()]
    storage = Sample.objects.first().storage
    assert len(names) == 2 and all(storage.exists(name) for name in names)
    assert caller.training("DELETE", f"projects/{project.uuid}").status_code == 204
    tasks.autodiscover()
    jobs.run_due_jobs()
    assert not any(storage.exists(name) for name in names)


def test_data_sets_that_were_sent_to_a_deleted_project_go_too():
    caller = make_caller()
    project, _tags = make_tagged(caller, pictures=1)
    file = SimpleUploadedFile("a.zip", b"PK")
    name = sent_datasets.keep_dataset(project, file, None, by=make_maintainer()).file_name
    assert storages["models"].exists(name)
    caller.training("DELETE", f"projects/{project.uuid}")
    jobs.run_due_jobs()
    assert not storages["models"].exists(name)


def test_a_bug_is_an_error_of_the_service_and_is_logged(monkeypatch, caplog):
    def broken(*args):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("customvision.api.responses.domain", broken)
    response = make_caller().training("GET", "domains")
    assert response.status_code == 500 and response.json()["code"] == "ErrorUnknown"
    assert "secret detail" not in response.content.decode() and "secret detail" in caplog.text


def test_a_prediction_without_storing_asks_the_database_little(django_assert_max_num_queries):
    caller = make_caller(make_user())
    project, _tags, _iteration = make_published(make_caller())
    path = f"{project.uuid}/classify/iterations/live%20one/image/nostore"
    caller.prediction("POST", path, make_picture_bytes())
    with django_assert_max_num_queries(8):
        assert caller.prediction("POST", path, make_picture_bytes()).status_code == 200


def test_images_deleted_after_training_stay_with_the_iteration_and_are_not_learned_again():
    caller = make_caller()
    project, tags, iteration = make_published(caller, pictures=7)
    path = f"projects/{project.uuid}/images"
    image = caller.training("GET", f"{path}/tagged?tagIds={tags['dark']}").json()[0]
    assert caller.training("DELETE", f"{path}?imageIds={image['id']}").status_code == 204
    assert caller.training("GET", f"{path}/tagged/count").json() == 13
    assert caller.training("GET", f"{path}/tagged/count?iterationId={iteration}").json() == 14
    assert caller.training("GET", f"{path}/id?imageIds={image['id']}").json() == []
    assert (
        "trainedAt"
        in caller.training("GET", f"projects/{project.uuid}/iterations/{iteration}").json()
    )


def test_a_deleted_tag_comes_back_under_its_name_without_images():
    caller = make_caller()
    project, tags, iteration = make_published(caller)
    path = f"projects/{project.uuid}/tags"
    assert caller.training("DELETE", f"{path}/{tags['dark']}").status_code == 204
    assert [tag["name"] for tag in caller.training("GET", path).json()] == ["light"]
    assert len(caller.training("GET", f"{path}?iterationId={iteration}").json()) == 2
    again = caller.training("POST", f"{path}?name=dark").json()
    assert again["id"] == tags["dark"] and again["imageCount"] == 0
