"""What Custom Vision has of a project goes with it, whoever deletes it."""

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.utils import timezone

from common import jobs, tasks
from common.models import Job
from customvision.api.tests.factories import make_caller, make_published, make_tagged
from customvision.models import Export, ImportedProject, Iteration, TrainingImage
from customvision.tests.factories import make_imported
from predictions.models import Project
from review import decisions
from training.lifecycle import category_removal, project_deletion

pytestmark = pytest.mark.django_db


@pytest.fixture
def caller():
    tasks.autodiscover()
    return make_caller()


def test_a_published_iteration_is_no_obstacle_for_a_maintainer_who_typed_the_name(caller):
    project, _tags, iteration = make_published(caller)
    make_imported(project)
    file_name = storages["models"].save("exports/one.zip", ContentFile(b"zip"))
    Export.objects.create(
        iteration=Iteration.objects.get(uuid=iteration), platform="ONNX", file_name=file_name
    )
    project_deletion.delete_named_project(project, typed=project.name)
    Job.objects.update(due_at=timezone.now())
    jobs.run_due_jobs()
    assert not Project.everywhere.exists() and not Iteration.objects.exists()
    assert not ImportedProject.objects.exists() and not storages["models"].exists(file_name)


def test_a_project_that_is_being_imported_stays_and_says_why(caller):
    project, _tags = make_tagged(caller, pictures=1)
    make_imported(project, finished_at=None, job=jobs.insert("training.import_custom_vision"))
    with pytest.raises(project_deletion.ProjectBusy, match="imported from Custom Vision"):
        project_deletion.delete_project(project)
    assert Project.objects.filter(pk=project.pk).exists()


def test_a_picture_that_loses_its_label_on_a_page_is_still_an_image_to_clients(caller):
    project, _tags = make_tagged(caller, pictures=1)
    TrainingImage.objects.all().delete()  # as of pictures that were labelled on pages
    dark = project.categories.get(name="dark")
    (sample,) = (each for each in project.samples.all() if _shows(each, dark))
    category_removal.delete_category(dark, by=caller.user)
    assert TrainingImage.objects.get().sample == sample


def _shows(sample, category):
    decision = decisions.latest_decision(sample)
    return decision is not None and decision.category == category
