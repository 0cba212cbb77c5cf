from datetime import timedelta

import pytest
from django.core.files.storage import storages
from django.utils import timezone

from common import jobs, tasks
from common.models import Job
from predictions import feedback, holds, retention
from predictions.models import Prediction, Sample
from predictions.tests.factories import make_prediction, make_project, make_sample

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def handlers():
    tasks.autodiscover()


def age(*rows) -> None:
    for row in rows:
        type(row).objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(days=30))


def test_after_an_ok_the_file_is_deleted_too():
    prediction = make_prediction()
    name = prediction.sample.file_name
    feedback.give_feedback(prediction, "OK", by=prediction.user)
    jobs.run_due_jobs()
    assert not storages["uploads"].exists(name)
    assert Sample.objects.get().location == Sample.Location.NOWHERE
    assert Prediction.objects.exists()


def test_a_file_that_cannot_be_deleted_now_is_deleted_later(monkeypatch):
    prediction = make_prediction()
    name = prediction.sample.file_name
    feedback.give_feedback(prediction, "OK", by=prediction.user)
    with monkeypatch.context() as broken:
        broken.setattr("common.storages.DiskStorage.delete", _refuse)
        jobs.run_due_jobs()
    assert storages["uploads"].exists(name)
    Job.objects.update(due_at="2020-01-01T00:00Z")
    jobs.run_due_jobs()
    assert not storages["uploads"].exists(name)


@pytest.mark.parametrize(("project", "server"), [("all", "nok"), ("", "all")])
def test_a_project_that_collects_keeps_everything(settings, project, server):
    settings.RETENTION = server
    prediction = make_prediction(project=make_project(retention=project))
    feedback.give_feedback(prediction, "OK", by=prediction.user)
    age(prediction, prediction.sample)
    assert retention.delete_unanswered_pictures() == 0
    assert Sample.objects.get().has_picture


def test_the_same_picture_waits_until_its_other_sender_has_answered():
    first = make_prediction()
    second = make_prediction(sample=first.sample)
    feedback.give_feedback(first, "OK", by=first.user)
    assert Sample.objects.get().has_picture
    feedback.give_feedback(second, "OK", by=second.user)
    assert not Sample.objects.get().has_picture


def test_a_picture_that_another_user_called_wrong_stays():
    first = make_prediction()
    second = make_prediction(sample=first.sample)
    feedback.give_feedback(first, "NOK", by=first.user)
    feedback.give_feedback(second, "OK", by=second.user)
    assert Sample.objects.get().has_picture


def test_an_unanswered_picture_goes_after_its_time():
    old, new = make_prediction(), make_prediction()
    age(old, old.sample)
    assert retention.delete_unanswered_pictures() == 1
    jobs.run_due_jobs()
    assert list(Sample.objects.with_picture()) == [new.sample]
    assert not storages["uploads"].exists(old.sample.file_name)
    assert retention.delete_unanswered_pictures() == 0


def test_a_picture_that_was_never_answered_by_a_model_goes_as_well():
    age(make_sample())
    assert retention.delete_unanswered_pictures() == 1


def test_a_picture_sent_again_lately_stays():
    old = make_prediction()
    make_prediction(sample=old.sample)
    age(old, old.sample)
    assert retention.delete_unanswered_pictures() == 0


@pytest.mark.parametrize("verdict", ["NOK", "UNSURE"])
def test_a_picture_that_a_reviewer_should_see_stays_however_old(verdict):
    prediction = make_prediction()
    feedback.give_feedback(prediction, verdict, by=prediction.user)
    age(prediction, prediction.sample)
    assert retention.delete_unanswered_pictures() == 0


def test_imported_pictures_stay():
    age(make_sample(origin=Sample.Origin.IMPORT))
    assert retention.delete_unanswered_pictures() == 0


def test_a_reason_of_a_room_above_keeps_a_picture(monkeypatch):
    from django.db.models import Exists

    monkeypatch.setattr(holds, "_keeping", [lambda: Exists(Sample.objects.all())])
    prediction = make_prediction()
    feedback.give_feedback(prediction, "OK", by=prediction.user)
    age(prediction, prediction.sample)
    assert retention.delete_unanswered_pictures() == 0
    assert Sample.objects.get().has_picture


def test_a_late_deletion_spares_a_picture_that_came_back_under_the_same_name():
    sample = make_sample()
    retention.delete_file("uploads", sample.file_name, sample_key=sample.pk)
    assert sample.read()


def test_a_late_deletion_spares_a_picture_on_its_way_to_misclassified():
    sample = make_sample()
    name = storages["misclassified"].save(
        f"dishes/{sample.uuid}.jpg", sample.storage.open(sample.file_name)
    )
    retention.delete_file("misclassified", name, sample_key=sample.pk)
    assert storages["misclassified"].exists(name)


def _refuse(*args, **kwargs):
    raise ConnectionError("not now")
