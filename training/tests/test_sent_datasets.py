"""Data sets that are sent with a form: looked through, confirmed, taken, forgotten."""

from datetime import timedelta

import pytest
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.tests.factories import make_maintainer
from common import jobs
from common.errors import InvalidInput
from common.progress import no_progress
from predictions.models import Sample
from predictions.tests.factories import make_project
from training.data import sent_datasets
from training.models import DatasetImport
from training.tests.test_formats import pack, pictures

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_project(categories=[])


@pytest.fixture
def maintainer(client):
    user = make_maintainer()
    client.force_login(user)
    return user


def archive(tmp_path, *names: str) -> SimpleUploadedFile:
    found = pictures(*(names or ("cats/1.png", "cats/2.png", "items/3.png")))
    path = pack(tmp_path / "a.zip", found | {"cats/notes.txt": b"meow"})
    return SimpleUploadedFile("pets.zip", path.read_bytes())


def address(project) -> str:
    return f"/projects/{project.slug}/import/"


def send(client, project, file, **fields):
    return client.post(address(project), {"dataset": file, **fields}, follow=True)


def test_first_it_is_told_what_was_found_and_nothing_is_kept(client, maintainer, project, tmp_path):
    page = send(client, project, archive(tmp_path))
    assert "waits for a worker" in page.content.decode()
    jobs.run_due_jobs("imports")
    kept = DatasetImport.objects.get()
    text = client.get(f"{address(project)}{kept.pk}/").content.decode()
    assert "3 samples would be added" in text and "new category" in text
    assert "cats/notes.txt" in text and "1 file cannot be read" in text
    assert not Sample.objects.exists() and not project.categories.exists()


def test_a_worker_that_dies_in_between_leaves_no_pictures_behind(
    client, maintainer, project, tmp_path, monkeypatch
):
    send(client, project, archive(tmp_path))
    kept = DatasetImport.objects.get()
    folder = kept.file_name.rpartition("/")[0]
    with monkeypatch.context() as dying:
        dying.setattr(DatasetImport, "save", die)
        with pytest.raises(SystemExit):
            sent_datasets.look_through(no_progress, import_key=kept.pk)
    sent_datasets.look_through(no_progress, import_key=kept.pk)
    _folders, files = storages["models"].listdir(folder)
    assert sorted(each for each in files if each.endswith(".jpg")) == [
        "preview-0.jpg",
        "preview-1.jpg",
    ]


def die(*args, **kwargs):
    raise SystemExit


def test_then_it_is_taken_on_the_senders_word_and_its_files_go(
    client, maintainer, project, tmp_path
):
    send(client, project, archive(tmp_path))
    jobs.run_due_jobs("imports")
    kept = DatasetImport.objects.get()
    client.post(f"{address(project)}{kept.pk}/take/")
    jobs.run_due_jobs("imports")
    text = client.get(f"{address(project)}{kept.pk}/").content.decode()
    assert "3 samples were added" in text
    assert {sample.uploaded_by for sample in Sample.objects.all()} == {maintainer}
    report = b"".join(client.get(f"{address(project)}{kept.pk}/report.csv")).decode()
    assert report.count("taken") == 3 and "unreadable" in report
    before, kept = kept, DatasetImport.objects.get()
    assert not kept.file_name and not storages["models"].exists(before.file_name)
    # A second press of the button
    assert client.post(f"{address(project)}{kept.pk}/take/").status_code == 409


def test_nothing_is_taken_before_it_was_looked_through(client, maintainer, project, tmp_path):
    send(client, project, archive(tmp_path))
    kept = DatasetImport.objects.get()
    assert client.post(f"{address(project)}{kept.pk}/take/").status_code == 409


def test_what_is_discarded_is_deleted_and_not_looked_through(client, maintainer, project, tmp_path):
    send(client, project, archive(tmp_path))
    kept = DatasetImport.objects.get()
    page = client.post(f"{address(project)}{kept.pk}/discard/", follow=True)
    assert "is not imported" in page.content.decode()
    assert not storages["models"].exists(kept.file_name)
    assert jobs.run_due_jobs("imports") == 0


def test_a_bad_data_set_is_told_on_its_page_and_deleted(client, maintainer, project):
    send(client, project, SimpleUploadedFile("a.zip", b"PK\x03\x04 nothing"))
    jobs.run_due_jobs("imports")
    kept = DatasetImport.objects.get()
    assert "no ZIP archive" in client.get(f"{address(project)}{kept.pk}/").content.decode()
    assert not kept.file_name


def test_a_table_may_be_sent_beside_the_pictures(client, maintainer, project, tmp_path):
    labels = SimpleUploadedFile("labels.csv", b"path,category\n1.png,cats\n")
    send(client, project, archive(tmp_path, "1.png"), labels=labels)
    jobs.run_due_jobs("imports")
    assert DatasetImport.objects.get().found["taken"] == [["cats", 1]]


def test_without_the_token_of_the_form_nothing_is_kept(project, tmp_path):
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_maintainer())
    answer = client.post(address(project), {"dataset": archive(tmp_path)})
    assert answer.status_code == 403 and not DatasetImport.objects.exists()


def test_one_that_is_too_large_is_refused_by_the_form(
    client, maintainer, project, tmp_path, settings
):
    settings.IMPORT_MAX_BYTES = 200
    page = send(client, project, archive(tmp_path))
    assert page.status_code == 400 and "import_dataset" in page.content.decode()
    assert not DatasetImport.objects.exists()


def test_two_at_once_wait_for_each_other(client, maintainer, project, tmp_path):
    send(client, project, archive(tmp_path))
    page = send(client, project, archive(tmp_path))
    assert page.status_code == 409 and "Another data set" in page.content.decode()
    assert DatasetImport.objects.count() == 1


def test_a_format_that_the_project_does_not_take_is_refused(project, tmp_path):
    texts = make_project(modality="text")
    with pytest.raises(InvalidInput, match="no format"):
        sent_datasets.keep_dataset(
            texts, archive(tmp_path), None, by=make_maintainer(), alias="coco"
        )


def test_the_import_of_another_project_is_not_found(client, maintainer, project, tmp_path):
    send(client, project, archive(tmp_path))
    kept = DatasetImport.objects.get()
    other = make_project()
    assert client.get(f"{address(other)}{kept.pk}/").status_code == 404
    assert client.post(f"{address(other)}{kept.pk}/take/").status_code == 404


def test_what_nobody_confirms_is_deleted_after_a_week(client, maintainer, project, tmp_path):
    send(client, project, archive(tmp_path))
    jobs.run_due_jobs("imports")
    assert sent_datasets.forget_old_datasets() == 0
    week_ago = timezone.now() - sent_datasets.KEEP - timedelta(hours=1)
    DatasetImport.objects.update(created_at=week_ago)
    assert sent_datasets.forget_old_datasets() == 1
    kept = DatasetImport.objects.get()
    assert "not imported" in client.get(f"{address(project)}{kept.pk}/").content.decode()


def test_while_it_is_under_way_the_page_asks_and_is_loaded_again_at_the_end(
    client, maintainer, project, tmp_path
):
    send(client, project, archive(tmp_path))
    page = f"{address(project)}{DatasetImport.objects.get().pk}/"
    assert client.get(page, headers={"HX-Request": "true"}).status_code == 200
    jobs.run_due_jobs("imports")
    ended = client.get(page, headers={"HX-Request": "true"})
    assert (ended.status_code, ended["HX-Refresh"]) == (204, "true")
