"""Much is deleted in the background, in short transactions: the cost of a request is constant."""

import pytest
from django.core.files.storage import storages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from common import jobs, tasks
from common.models import Job
from common.progress import no_progress
from customvision.api import earlier_jobs, image_deletion, stored_predictions
from customvision.api.tests.factories import make_caller, make_published, make_tagged
from customvision.models import ImportedImage, ImportedProject, RetiredTag
from customvision.tests.factories import make_imported
from predictions import feedback
from predictions.models import Category, Project, Sample
from predictions.tests.factories import make_feedback, make_picture_bytes, make_prediction
from review import decisions
from review.models import Decision
from training.lifecycle import category_removal, project_deletion

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def handlers():
    tasks.autodiscover()


@pytest.fixture
def caller():
    return make_caller()


@pytest.fixture
def few_at_once(monkeypatch):
    monkeypatch.setattr(project_deletion, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(category_removal, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(image_deletion, "IMAGES_AT_ONCE", 2)


def count(caller, project, what="count"):
    return caller.training("GET", f"projects/{project.uuid}/images/{what}").json()


def delete(caller, path, status=204):
    """Ask for a deletion; return the statements that the request needed."""
    with CaptureQueriesContext(connection) as queries:
        assert caller.training("DELETE", f"projects/{path}").status_code == status
    return len(queries)


def delete_all_images(caller, project):
    return delete(caller, f"{project.uuid}/images?allImages=true", 202)


def largest_transaction(act):
    """Return how many decisions the largest transaction of `act` wrote (a savepoint in a test)."""
    sizes, depth = [0], 0
    with CaptureQueriesContext(connection) as queries:
        act()
    for query in queries:
        words = query["sql"].split(" ")
        if words[0] == "SAVEPOINT":
            sizes += [0] if depth == 0 else []
            depth += 1
        elif words[:2] == ["RELEASE", "SAVEPOINT"]:
            depth -= 1
        elif words[:3] == ["INSERT", "INTO", '"review_decision"']:
            sizes[-1] += query["sql"].count("RETURNING") or 1
    assert depth == 0
    return max(sizes)


def test_deleting_all_images_is_done_by_a_worker_some_at_a_time(caller, few_at_once):
    project, _tags = make_tagged(caller, pictures=3)
    delete_all_images(caller, project)
    assert count(caller, project) == 6
    assert largest_transaction(jobs.run_due_jobs) <= 2
    assert count(caller, project) == 0 and not project.samples.with_picture().exists()
    assert {one.outcome for one in decisions.latest_decisions(project.samples.all()).values()} == {
        "discarded"
    }


def test_the_request_costs_the_same_for_few_and_for_many_images(caller):
    few, many = make_tagged(caller, pictures=1)[0], make_tagged(caller, pictures=6)[0]
    assert delete_all_images(caller, few) == delete_all_images(caller, many)


def test_what_comes_or_is_tagged_after_the_request_stays(caller, few_at_once):
    project, tags = make_tagged(caller, pictures=2)
    delete_all_images(caller, project)
    path = f"projects/{project.uuid}/images"
    assert caller.training("POST", path, make_picture_bytes()).json()["images"][0]["status"] == "OK"
    (tagged,) = caller.training("GET", f"{path}/tagged?take=1").json()
    other = next(id_ for id_ in tags.values() if id_ != tagged["tags"][0]["tagId"])
    body = {"tags": [{"imageId": tagged["id"], "tagId": other}]}
    assert caller.training("POST", f"{path}/tags", body).status_code == 200
    jobs.run_due_jobs()
    assert (count(caller, project, "untagged/count"), count(caller, project, "tagged/count")) == (
        1,
        1,
    )


@pytest.mark.parametrize("query", ["", "?tagIds={light}"])
def test_an_image_that_is_sent_again_before_it_went_is_as_new_and_stays(caller, query):
    project, tags = make_tagged(caller, pictures=1)
    picture = make_picture_bytes("white", format="PNG")
    path = f"projects/{project.uuid}/images"
    assert caller.training("POST", f"{path}?tagIds={tags['dark']}", picture).json()[
        "isBatchSuccessful"
    ]
    delete_all_images(caller, project)
    (again,) = caller.training("POST", path + query.format(**tags), picture).json()["images"]
    assert again["status"] == "OK"
    jobs.run_due_jobs()
    (left,) = caller.training("GET", path).json()
    assert left["id"] == again["image"]["id"]
    assert [tag["tagName"] for tag in left.get("tags") or []] == (["light"] if query else [])


def test_all_images_of_one_project_are_not_those_of_another(caller):
    mine, other = make_tagged(caller, pictures=1)[0], make_tagged(caller, pictures=1)[0]
    delete_all_images(caller, mine)
    jobs.run_due_jobs()
    assert (count(caller, mine), count(caller, other)) == (0, 2)


def test_images_by_id_go_at_once_in_transactions_of_some(caller, few_at_once):
    project, _tags = make_tagged(caller, pictures=3)
    ids = ",".join(str(one) for one in project.samples.values_list("uuid", flat=True))
    assert largest_transaction(lambda: delete(caller, f"{project.uuid}/images?imageIds={ids}")) <= 2
    assert count(caller, project) == 0


def test_a_tag_with_many_images_is_out_of_sight_at_once_and_off_them_later(caller, few_at_once):
    project, tags = make_tagged(caller, pictures=5)
    delete(caller, f"{project.uuid}/tags/{tags['dark']}")
    path = f"projects/{project.uuid}/tags"
    assert [one["name"] for one in caller.training("GET", path).json()] == ["light"]
    assert count(caller, project, "untagged/count") == 2
    refusal = caller.training("POST", f"{path}?name=dark")
    assert (refusal.status_code, refusal.json()["code"]) == (409, "Conflict")
    assert largest_transaction(jobs.run_due_jobs) <= 2
    assert count(caller, project, "untagged/count") == 5
    assert Category.everywhere.exclude(removed_at=None).get().name == "dark"
    assert caller.training("POST", f"{path}?name=dark").json()["imageCount"] == 0


def test_a_tag_that_many_answers_name_goes_bit_by_bit_and_they_stay(caller, few_at_once):
    project, tags = make_tagged(caller, pictures=0)
    category = Category.objects.get(uuid=tags["dark"])
    said = [
        make_feedback(make_prediction(project=project, top=category), category=category)
        for _number in range(5)
    ]
    delete(caller, f"{project.uuid}/tags/{tags['dark']}")
    assert Category.everywhere.filter(pk=category.pk).exists()
    jobs.run_due_jobs()
    assert not Category.everywhere.filter(pk=category.pk).exists()
    for each in said:
        each.refresh_from_db()
        assert each.suggestion == "dark" and each.prediction.scores


def test_a_tag_with_few_images_goes_at_once(caller):
    project, tags = make_tagged(caller, pictures=1)
    delete(caller, f"{project.uuid}/tags/{tags['dark']}")
    assert count(caller, project, "untagged/count") == 1 and not Job.objects.active().exists()


def test_a_project_is_out_of_sight_at_once_and_goes_bit_by_bit(caller, few_at_once):
    project, _tags, iteration = make_published(caller)
    path = f"projects/{project.uuid}"
    answer = caller.prediction(
        "POST", f"{project.uuid}/classify/iterations/live%20one/image", make_picture_bytes()
    )
    prediction = project.predictions.get(uuid=answer.json()["id"])
    feedback.give_feedback(prediction, "NOK", by=prediction.user)
    ImportedImage.objects.create(
        imported=make_imported(project), remote_id=project.uuid, sample=prediction.sample
    )
    jobs.run_due_jobs()
    bundle, models_there = project.model_versions.get().reference, storages["models"]
    stored_names = [(one.storage, one.file_name) for one in Sample.objects.all()]
    caller.training("DELETE", f"{path}/iterations/{iteration}/publish")
    name, slug, requested = project.name, project.slug, delete(caller, str(project.uuid))
    assert requested < 40
    assert (
        caller.training("GET", path).status_code == 404
        and caller.training("GET", "projects").json() == []
    )
    assert caller.training("POST", f"projects?name={name}").status_code == 200
    assert Project.objects.get(name=name).slug == slug
    Job.objects.update(due_at=timezone.now())
    jobs.run_due_jobs()
    assert not Project.everywhere.filter(pk=project.pk).exists()
    assert (
        not Sample.objects.exists()
        and not Decision.objects.exists()
        and not ImportedProject.objects.exists()
    )
    assert not any(storage.exists(file_name) for storage, file_name in stored_names)
    assert not bundle.startswith(f"{slug}/") or models_there.listdir(bundle)[1] == []
    assert not Job.objects.exclude(status=Job.Status.SUCCEEDED).exists()


def test_a_project_whose_removal_was_interrupted_goes_when_it_is_taken_up_again(
    caller, few_at_once, monkeypatch
):
    project, _tags = make_tagged(caller, pictures=3)
    delete(caller, str(project.uuid))
    look, looks = project_deletion._some_keys, []

    def look_until_killed(*arguments):
        looks.append(arguments)
        if len(looks) == 14:
            raise KeyboardInterrupt
        return look(*arguments)

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(project_deletion, "_some_keys", look_until_killed)
        jobs.run_due_jobs()
    assert Project.everywhere.filter(pk=project.pk).exists()
    project_deletion.erase_project(no_progress, project.pk, project.slug)
    project_deletion.erase_project(no_progress, project.pk, project.slug)
    assert not Project.everywhere.filter(pk=project.pk).exists() and not Sample.objects.exists()


def test_a_tag_that_an_earlier_version_was_deleting_is_deleted_to_the_end(caller):
    project, tags = make_tagged(caller, pictures=1)
    category = Category.objects.get(uuid=tags["dark"])
    RetiredTag.objects.create(category=category)
    payload = {"category": category.pk, "by": caller.user.pk}
    jobs.insert(earlier_jobs.erase_tag.kind, payload)
    jobs.run_due_jobs()
    assert count(caller, project, "untagged/count") == 1
    assert [each.name for each in project.categories.all()] == ["light"]


def test_a_project_that_an_earlier_version_was_deleting_is_deleted_to_the_end(caller):
    project, _tags = make_tagged(caller, pictures=1)
    Project.objects.filter(pk=project.pk).update(removed_at=timezone.now())
    payload = {"project": project.pk, "slug": project.slug}
    jobs.insert(earlier_jobs.erase_project.kind, payload)
    jobs.run_due_jobs()
    assert not Project.everywhere.exists()


def test_a_project_that_was_not_removed_is_not_erased(caller):
    project, _tags = make_tagged(caller, pictures=1)
    project_deletion.erase_project(no_progress, project.pk, project.slug)
    assert count(caller, project) == 2


def test_a_project_that_is_being_imported_is_not_deleted(caller):
    project, _tags = make_tagged(caller, pictures=1)
    make_imported(project, finished_at=None, job=jobs.insert("training.import_custom_vision"))
    answer = caller.training("DELETE", f"projects/{project.uuid}")
    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequestWorkspaceNotDeletable")


def test_a_query_looks_at_so_many_predictions_and_names_where_to_go_on(caller, monkeypatch):
    monkeypatch.setattr(stored_predictions, "MAX_LOOKED_AT", 2)
    project, tags, _iteration = make_published(caller)
    path = f"{project.uuid}/classify/iterations/live%20one/image"
    for shade in (235, 235, 235, 10, 235):
        caller.prediction("POST", path, make_picture_bytes((shade,) * 3, format="PNG"))
    query = {
        "orderBy": "Oldest",
        "tags": [{"id": tags["dark"], "minThreshold": 0.6, "maxThreshold": 1}],
    }
    pages = 0
    found: list[dict] = []
    while True:
        answer = caller.training("POST", f"projects/{project.uuid}/predictions/query", query).json()
        pages, found = pages + 1, found + answer["results"]
        if not answer["token"]["continuation"]:
            break
        query = answer["token"]
    assert len(found) == 1 and pages == 3
