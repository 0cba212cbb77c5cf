import os
import time
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from accounts.tests.factories import make_user
from common import jobs, tasks
from common.media import images
from common.models import Job
from predictions import feedback, orphaned_files, uploads
from predictions.models import Sample
from predictions.tests.factories import (
    keep_picture,
    make_picture_bytes,
    make_prediction,
    make_project,
    make_sample,
)

pytestmark = pytest.mark.django_db

DAY = 86_400


@pytest.fixture(autouse=True)
def uploads_of_this_test(settings, tmp_path):
    disk = {
        "BACKEND": "common.storages.DiskStorage",
        "OPTIONS": {"location": str(tmp_path / "uploads")},
    }
    settings.STORAGES = settings.STORAGES | {"uploads": disk}
    tasks.autodiscover()


def path(name: str) -> Path:
    return Path(storages["uploads"].path(name))


def age(name: str, seconds: float = 2 * DAY) -> str:
    then = time.time() - seconds
    os.utime(path(name), (then, then))
    return name


def make_file(name: str = "") -> str:
    return storages["uploads"].save(name or f"dishes/{uuid4()}.jpg", ContentFile(b"a picture"))


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it is done."""


def test_what_an_upload_leaves_that_is_killed_before_its_row_is_deleted_a_day_later(monkeypatch):
    project = make_project()
    with monkeypatch.context() as dying:
        dying.setattr(uploads.queries, "insert_sample", _die)
        dying.setattr(uploads, "_remove", lambda name: None)
        with pytest.raises(Killed):
            keep_picture(project, images.decode_upload(make_picture_bytes()), by=make_user())
    (left,) = path(project.slug).iterdir()
    assert orphaned_files.delete_orphaned_files() == 0
    age(f"{project.slug}/{left.name}")
    assert orphaned_files.delete_orphaned_files() == 1
    assert not left.exists()
    assert orphaned_files.delete_orphaned_files() == 0


def test_a_younger_file_stays_its_row_may_be_on_the_way():
    name = age(make_file(), DAY - 600)
    assert orphaned_files.delete_orphaned_files() == 0
    assert storages["uploads"].exists(name)


def test_a_file_with_a_row_stays_however_old():
    name = age(make_sample().file_name)
    assert orphaned_files.delete_orphaned_files() == 0
    assert storages["uploads"].exists(name)


def test_a_row_written_while_the_sweep_lists_the_files_counts(monkeypatch):
    name = age(make_file())
    project, listing = make_project(), orphaned_files._listed

    def listed(storage):
        found = list(listing(storage))
        Sample.objects.create(project=project, sha256="a" * 64, file_name=name)
        return found

    monkeypatch.setattr(orphaned_files, "_listed", listed)
    assert orphaned_files.delete_orphaned_files() == 0
    assert storages["uploads"].exists(name)


def test_the_copy_of_a_nok_stays_until_the_other_has_proved_to_be_there():
    prediction = make_prediction()
    name = age(prediction.sample.file_name)
    feedback.give_feedback(prediction, "NOK", by=prediction.user)
    jobs.run_due_jobs()
    assert Sample.objects.get().location == Sample.Location.MISCLASSIFIED
    assert Job.objects.active().filter(kind="predictions.settle_misclassified").exists()
    assert orphaned_files.delete_orphaned_files() == 0
    Job.objects.update(due_at="2020-01-01T00:00Z")
    jobs.run_due_jobs()
    assert not storages["uploads"].exists(name)


@pytest.mark.parametrize(
    "name", ["holiday.jpg", "README", "2f1c9a8e-3c1b-4f4e-9d0a-5b6f0c7d8e9f.txt"]
)
def test_what_others_have_put_there_is_not_ours_to_delete(name):
    age(make_file(f"dishes/{name}"))
    assert orphaned_files.delete_orphaned_files() == 0
    assert storages["uploads"].exists(f"dishes/{name}")


def test_half_a_file_of_a_killed_writer_goes_too():
    make_file()
    half = path("dishes/.writing-abc_12")
    half.write_bytes(b"half a pic")
    assert orphaned_files.delete_orphaned_files() == 0
    age("dishes/.writing-abc_12")
    assert orphaned_files.delete_orphaned_files() == 1
    assert not half.exists()


def test_without_any_upload_there_is_nothing_to_do():
    assert orphaned_files.delete_orphaned_files() == 0


def test_is_done_daily():
    assert [
        seconds
        for name, seconds, _function in tasks.periodic_tasks()
        if name == "predictions.orphaned_files.delete_orphaned_files"
    ] == [DAY]


def _die(*arguments, **options):
    raise Killed
