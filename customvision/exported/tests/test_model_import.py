"""An archive becomes a model version: by command, and by a job of the worker."""

import io

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command

from accounts.tests.factories import make_maintainer
from common import jobs, tasks
from common.errors import Conflict, InvalidInput
from common.models import Job
from customvision.exported import model_import
from customvision.exported.tests.factories import (
    FROM_RGB,
    LABELS,
    SQUARE_RGB,
    make_archive,
    make_onnx,
    make_tflite,
)
from predictions import categories, classification, registry
from predictions.models import ModelVersion
from predictions.tests.factories import make_project, make_upload
from training.runs import promotion

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_project(categories=())


@pytest.fixture
def maintainer():
    return make_maintainer()


def bring(project, data: bytes):
    return model_import.import_archive(project, io.BytesIO(data))


def ask(project, data: bytes, maintainer, *, promote=False) -> Job:
    file = ContentFile(data, name="export.zip")
    return model_import.request_import(project, file, promote=promote, by=maintainer)


def names(project):
    return sorted(project.categories.values_list("name", flat=True))


def test_labels_become_categories(project):
    version, is_new = bring(project, make_archive(properties=SQUARE_RGB))
    assert is_new and (version.number, version.predictor) == (1, "exported")
    assert version.class_names == list(LABELS) == names(project)
    assert registry.class_names_now(version) == list(LABELS)
    assert "35921ec4-e5eb-433a-95d7-536d4666bc0d" in version.description
    assert version.manifest["exported"]["source"]["ExporterVersion"] == "2.2"
    assert version.manifest["activation"] == "softmax"
    assert registry.live_version(project) is None


def test_a_label_that_is_a_category_is_used(project):
    red, _new = categories.add_category(project, "Red")
    version, _new = bring(project, make_archive(properties=SQUARE_RGB))
    assert version.class_names == ["blue", "green", "Red"] and project.categories.count() == 3
    categories.rename_category(red, "Scarlet")
    assert registry.class_names_now(version) == ["blue", "green", "Scarlet"]


def test_the_same_archive_gives_the_same_version(project):
    first, _new = bring(project, make_archive(properties=SQUARE_RGB))
    again, is_new = bring(project, make_archive(properties=SQUARE_RGB))
    assert first == again and not is_new
    other, is_new = bring(project, make_archive())
    assert is_new and other.number == 2


def test_labels_that_are_one_category_here_are_refused(project):
    with pytest.raises(InvalidInput, match="one category"):
        bring(project, make_archive(labels=("Red", "red", "blue")))
    assert not project.categories.exists()


def test_a_model_that_is_refused_leaves_nothing(project):
    with pytest.raises(InvalidInput, match="FlexErf"):
        bring(project, make_archive(make_tflite(custom="FlexErf")))
    with pytest.raises(InvalidInput, match="Export it again"):
        bring(project, make_archive(b"no model"))
    assert not project.categories.exists() and not ModelVersion.objects.exists()


def test_it_answers_once_it_is_promoted_and_can_be_rolled_back(project, maintainer):
    first, _new = bring(project, make_archive(make_tflite(FROM_RGB), properties=SQUARE_RGB))
    second, _new = bring(project, make_archive(make_onnx(), name="model.onnx"))
    for version in (first, second):
        promotion.promote_version(version, by=maintainer)
    assert registry.previous_version(project) == first
    promotion.promote_version(first, by=maintainer, reason="back")
    prediction = classification.classify_upload(project, make_upload(colour="red"), by=maintainer)
    assert (prediction.top.name, prediction.model_version) == ("red", first)


def test_the_worker_imports_and_promotes(project, maintainer):
    tasks.autodiscover()
    job = ask(project, make_archive(properties=SQUARE_RGB), maintainer, promote=True)
    assert storages["models"].exists(job.payload["file"])
    jobs.run_due_jobs()
    job.refresh_from_db()
    assert (job.status, job.error) == ("succeeded", "")
    assert registry.live_version(project).class_names == list(LABELS)
    assert project.promotions.get().promoted_by == maintainer
    assert not storages["models"].exists(job.payload["file"])
    assert model_import.newest_import(project) == job


def test_a_job_that_is_done_twice_makes_one_version(project, maintainer):
    data = make_archive(properties=SQUARE_RGB)
    for _time in range(2):
        name = storages["models"].save("plates/imports/x.zip", ContentFile(data))
        model_import.run_import(project.pk, name, True, maintainer.pk)
    assert project.model_versions.count() == 1 == project.promotions.count()


def test_the_worker_says_why_not(project, maintainer):
    job = ask(project, make_archive(make_tflite(custom="FlexErf")), maintainer)
    jobs.run_due_jobs()
    job.refresh_from_db()
    assert job.status == "failed" and "FlexErf" in job.error
    assert not storages["models"].exists(job.payload["file"])
    jobs.try_again(job)
    jobs.run_due_jobs()
    job.refresh_from_db()
    assert job.status == "failed" and "send it again" in job.error


def test_what_is_no_export_is_refused_at_once(project, maintainer):
    with pytest.raises(InvalidInput, match="damaged"):
        ask(project, b"no archive", maintainer)
    assert not Job.objects.exists()


def test_one_import_at_a_time(project, maintainer):
    job = ask(project, make_archive(), maintainer)
    with pytest.raises(Conflict, match="already"):
        ask(project, make_archive(), maintainer)
    kept = storages["models"].listdir(f"{project.slug}/imports")[1]
    assert [f"{project.slug}/imports/{name}" for name in kept] == [job.payload["file"]]


def test_a_project_that_is_gone_needs_no_import(project, maintainer):
    job = ask(project, make_archive(), maintainer)
    project.delete()
    jobs.run_due_jobs()
    job.refresh_from_db()
    assert job.status == "succeeded" and not storages["models"].exists(job.payload["file"])


def test_the_command_imports_and_promotes(project, tmp_path, capsys):
    path = tmp_path / "export.zip"
    path.write_bytes(make_archive(properties=SQUARE_RGB))
    call_command("import_model", str(path))
    assert "version 1: blue, green, red" in capsys.readouterr().out
    assert registry.live_version(project) is None
    call_command("import_model", str(path), project=project.slug, promote=True)
    assert "there already" in capsys.readouterr().out
    assert registry.live_version(project).number == 1


def test_the_command_says_why_not(project, tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_model", str(tmp_path / "nothing.zip"))
    path = tmp_path / "export.zip"
    path.write_bytes(b"no archive")
    with pytest.raises(CommandError, match="damaged"):
        call_command("import_model", str(path))
