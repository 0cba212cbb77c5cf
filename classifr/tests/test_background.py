"""What fails in the background is seen by maintainers, who can have it tried again."""

from datetime import timedelta

import pytest
from django.core.files.storage import storages
from django.urls import reverse
from django.utils import timezone

from accounts.tests.factories import make_maintainer
from classifr import background
from common import jobs, tasks
from common.models import TROUBLE_FROM_ATTEMPT, Job
from predictions import feedback
from predictions.tests.factories import make_prediction

pytestmark = pytest.mark.django_db
ADDRESS = "/background/"


@pytest.fixture
def maintainer(client):
    client.force_login(user := make_maintainer())
    return user


def make_job(**fields):
    return Job.objects.create(
        **{"kind": "training.run", "status": "failed", "error": "The disk is full."} | fields
    )


def test_a_nok_whose_picture_is_lost_is_seen_and_can_be_tried_again(client, maintainer):
    prediction = make_prediction()
    storages["uploads"].delete(prediction.sample.file_name)
    feedback.give_feedback(prediction, "NOK", by=prediction.user)
    tasks.autodiscover()
    jobs.run_due_jobs()
    assert (
        "background jobs have failed" in client.get(reverse("training:overview")).content.decode()
    )
    page = client.get(ADDRESS).content.decode()
    assert (
        "Keep a picture whose prediction a user marked as wrong" in page
        and prediction.sample.file_name in page
    )
    job = Job.objects.get()
    assert client.post(reverse("background_again", args=[job.pk])).status_code == 302
    job.refresh_from_db()
    assert (job.status, job.attempts) == (Job.Status.WAITING, 0)


def test_when_nothing_has_failed_it_says_so(client, maintainer):
    make_job(status="succeeded", error="")
    make_job(status="waiting", attempts=TROUBLE_FROM_ATTEMPT - 1)
    assert "Nothing has failed." in client.get(ADDRESS).content.decode()
    assert "have failed" not in client.get(reverse("training:overview")).content.decode()


def test_what_fails_over_and_over_is_seen_before_it_has_failed(client, maintainer):
    make_job(
        status="waiting", attempts=TROUBLE_FROM_ATTEMPT, due_at=timezone.now() + timedelta(hours=1)
    )
    page = client.get(ADDRESS).content.decode()
    assert "The disk is full." in page and "Retried automatically" in page and "/again/" not in page


def test_only_the_newest_are_shown(client, maintainer, monkeypatch):
    monkeypatch.setattr(background, "MAX_SHOWN", 1)
    make_job(error="older")
    make_job(error="newer")
    page = client.get(ADDRESS).content.decode()
    assert "newer" in page and "older" not in page and "There is more" in page


@pytest.mark.parametrize("status", ["waiting", "running", "succeeded", "cancelled"])
def test_what_has_not_failed_is_not_tried_again(client, maintainer, status):
    job = make_job(status=status)
    page = client.post(reverse("background_again", args=[job.pk]), follow=True).content.decode()
    assert "retried already" in page
    job.refresh_from_db()
    assert job.status == status


def test_what_was_asked_for_anew_meanwhile_is_not_tried_again(client, maintainer):
    job = make_job(key="a")
    make_job(key="a", status="waiting")
    page = client.post(reverse("background_again", args=[job.pk]), follow=True).content.decode()
    assert "retried already" in page


def test_a_job_that_is_not_there_is_404(client, maintainer):
    assert client.post(reverse("background_again", args=[7])).status_code == 404


def test_every_kind_of_work_is_told_in_words():
    tasks.autodiscover()
    own = {
        kind
        for kind in jobs._runners
        if kind.split(".")[0] in {"predictions", "review", "training", "customvision"}
    }
    assert [kind for kind in own if tasks.title_of(kind) == kind] == []
