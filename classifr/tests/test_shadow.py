"""The shadow, from end to end: whatever comes in is answered by both models, if it is kept."""

import pytest
from django.urls import reverse
from django.utils import timezone

from common import jobs, tasks
from common.models import Job
from customvision.api.tests.factories import make_caller, make_published
from predictions import shadow_deployment, shadow_inference
from predictions.models import Prediction, ShadowPrediction
from predictions.tests.factories import (
    make_live_model,
    make_model_version,
    make_picture_bytes,
    make_upload,
    make_user,
)

pytestmark = pytest.mark.django_db


def work() -> None:
    tasks.autodiscover()
    shadow_inference.enqueue_pending()
    Job.objects.filter(queue="shadow").update(due_at=timezone.now())
    jobs.run_due_jobs("shadow")


@pytest.fixture
def caller():
    return make_caller()


@pytest.fixture
def published(caller):
    """The path at which clients of Custom Vision classify, with another model in shadow."""
    project, _ids, _iteration = make_published(caller)
    published = project.model_versions.get()
    shadow_deployment.start_shadow(make_model_version(project, published.class_names), by=None)
    return f"{project.uuid}/classify/iterations/live%20one/image"


def test_what_clients_of_custom_vision_send_is_answered_too(caller, published):
    assert caller.prediction("POST", published, make_picture_bytes()).status_code == 200
    work()
    assert ShadowPrediction.objects.get(error="").prediction == Prediction.objects.get()


def test_what_they_do_not_store_is_not(caller, published):
    assert (
        caller.prediction("POST", f"{published}/nostore", make_picture_bytes()).status_code == 200
    )
    work()
    assert not ShadowPrediction.objects.exists()


def test_an_upload_and_its_verdict_become_evidence(client):
    version = make_model_version(make_live_model().project, ("tiramisu", "risotto", "gnocchi"))
    maintainer = make_user("maintainer")
    client.force_login(maintainer)
    client.post(reverse("training:start_shadow", args=[version.pk]))
    slug = version.project.slug
    client.post(reverse("predictions:upload", args=[slug]), {"file": make_upload(colour="black")})
    prediction = Prediction.objects.get()
    data = {"verdict": "NOK", "category": "tiramisu"}
    client.post(reverse("predictions:feedback", args=[prediction.uuid]), data)
    work()
    page = client.get(reverse("training:shadow", args=[slug])).content.decode()
    assert "Of 1 picture with a known label, the shadow is right on 1, the live model on 0" in page
