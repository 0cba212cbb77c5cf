"""The steps of a new project: each can be left and taken up again."""

import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from PIL import Image

from accounts.tests.factories import make_maintainer, make_reviewer
from classifr.new_project.checklist import can_be_trained, category_sizes, checklist
from common import jobs, tasks
from predictions import projects, registry
from predictions.models import Project
from predictions.tests.factories import make_live_model, make_project
from training.models import DatasetImport, TrainingRun
from training.tests.factories import make_trainable
from training.tests.test_formats import pack, pictures

pytestmark = pytest.mark.django_db


@pytest.fixture
def maintainer(client):
    user = make_maintainer()
    client.force_login(user)
    return user


def address(step, project):
    return reverse(f"new_project:{step}", args=[project.slug])


def test_after_the_name_the_project_exists_and_its_pictures_are_asked_for(client, maintainer):
    assert b"Create project" in client.get(reverse("new_project:name")).content
    response = client.post(reverse("new_project:name"), {"name": "Dishes", "modality": "text"})
    project = Project.objects.get()
    assert (project.slug, project.is_of_texts) == ("dishes", True)
    assert response.url == address("pictures", project)
    assert "Where are your texts?" in client.get(response.url).content.decode()


def test_a_name_that_is_taken_is_refused_below_the_field_which_keeps_it(client, maintainer):
    make_project("Dishes")
    response = client.post(reverse("new_project:name"), {"name": "dishes"})
    page = response.content.decode()
    assert response.status_code == 409 and 'value="dishes"' in page and "invalid-feedback" in page
    assert Project.objects.count() == 1


def test_a_project_is_trained_and_then_tried(client, maintainer):
    tasks.autodiscover()
    project = make_trainable()
    assert client.post(address("train", project)).url == address("train", project)
    assert "data-run-progress" in client.get(address("train", project)).content.decode()
    jobs.run_due_jobs("training")
    assert registry.live_version(project)
    assert client.get(address("train", project)).url == address("try", project)
    assert 'id="upload"' in client.get(address("try", project)).content.decode()


def test_a_project_with_too_little_says_so_and_is_not_trained(client, maintainer):
    project = make_project(categories=["a"], trainer="dummy")
    response = client.post(address("train", project))
    assert response.status_code == 409 or response.status_code == 400
    assert not TrainingRun.objects.exists()


def test_without_a_model_there_is_nothing_to_try_yet(client, maintainer):
    project = make_project()
    assert client.get(address("try", project)).url == address("train", project)


def test_the_checklist_stands_on_the_overview_until_a_model_is_live(client, maintainer):
    project = make_project(categories=["a", "b"])
    overview = reverse("overview", args=[project.slug])
    assert "Until the first answer" in client.get(overview).content.decode()
    make_live_model(project)
    assert "Until the first answer" not in client.get(overview).content.decode()


def test_a_reviewer_sees_no_checklist_whose_buttons_they_may_not_press(client):
    client.force_login(make_reviewer())
    page = client.get(reverse("overview", args=[make_project().slug])).content.decode()
    assert "Until the first answer" not in page


def test_the_checklist_tells_what_is_done():
    assert [row.is_done for row in checklist(make_project())] == [False, False, False]
    project = make_trainable()
    assert [row.is_done for row in checklist(project)] == [True, False, False]
    assert can_be_trained(category_sizes(project))


def test_archived_projects_are_on_the_start_page_only_when_asked_for(client, maintainer):
    project = make_project("Old dishes")
    projects.archive_project(project)
    page = client.get(reverse("home")).content.decode()
    assert "Old dishes" not in page and "1 archived project" in page
    assert "Old dishes" in client.get(reverse("home"), {"archived": "1"}).content.decode()


@pytest.fixture
def found(client, maintainer, tmp_path):
    """A data set of cats and items that was looked through."""
    project = make_project(categories=[])
    path = pack(tmp_path / "a.zip", pictures("cats/1.png", "cats/2.png", "items/3.png"))
    file = SimpleUploadedFile("pets.zip", path.read_bytes())
    client.post(reverse("datasets:imports", args=[project.slug]), {"dataset": file})
    jobs.run_due_jobs("imports")
    return DatasetImport.objects.get()


def take(client, found, **fields):
    data = {"import": found.pk, "take": "1", **fields}
    return client.post(address("pictures", found.project), data, follow=True)


def test_what_was_found_is_shown_renamed_and_left_out_before_it_is_taken(client, found):
    page = client.get(address("pictures", found.project)).content.decode()
    strip = reverse("datasets:preview", args=[found.project.slug, found.pk]) + "?category=cats"
    assert strip in page
    assert Image.open(io.BytesIO(client.get(strip).content)).format == "JPEG"
    take(client, found, **{"name-0": "Kittens", "take-0": "1", "name-1": "items"})
    jobs.run_due_jobs("imports")
    assert [each.name for each in found.project.categories.all()] == ["Kittens"]
    assert found.project.samples.count() == 2
    assert client.get(strip).status_code == 404  # it was taken


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name-0": "cats", "name-1": "items"}, "Keep at least one category"),
        ({"name-0": "c" * 101, "take-0": "1"}, "at most 100"),
    ],
)
def test_nothing_is_taken_under_impossible_names(client, found, fields, sentence):
    assert sentence in take(client, found, **fields).content.decode()
    jobs.run_due_jobs("imports")
    assert not found.project.samples.exists()
