"""Maintainers say how a project answers and what it keeps."""

import pytest
from django.conf import settings
from django.urls import reverse

from predictions.tests.factories import make_project, make_user
from training.runs import submission

pytestmark = pytest.mark.django_db


def options(**changed):
    return {
        "name": "Dishes",
        "description": "",
        "abstain_below": "0.6",
        "retention": "all",
        "trainer": "",
        "margin": "0.05",
        "retrain_after_labels": "0",
        "retrain_every_days": "0",
        "second_opinion_percent": "0",
    } | changed


@pytest.fixture
def project():
    return make_project(name="Dishes")


@pytest.fixture
def url(project):
    return reverse("training:options", args=[project.slug])


def test_a_maintainer_changes_how_a_project_answers(client, project, url):
    client.force_login(make_user("maintainer"))
    assert client.post(url, options(test_time_augmentation="on")).status_code == 302
    project.refresh_from_db()
    assert (project.abstain_below, project.retention, project.test_time_augmentation) == (
        0.6,
        "all",
        True,
    )


def test_a_project_for_inspection_gets_the_backbone_for_it(client, project, url):
    trainer = submission.trainer_named("keras")
    assert submission.default_backbone(trainer, project) == settings.DEFAULT_BACKBONE
    client.force_login(make_user("maintainer"))
    client.post(url, options(inspection="on"))
    project.refresh_from_db()
    assert submission.default_backbone(trainer, project) == "lite0-inspection"
    # Another trainer that has none goes on as before
    dummy = submission.trainer_named("dummy")
    assert submission.default_backbone(dummy, project) == "dummy"


@pytest.mark.parametrize(
    "wrong", [{"abstain_below": "1.5"}, {"retention": "some"}, {"trainer": "alchemy"}, {"name": ""}]
)
def test_what_makes_no_sense_is_refused_and_nothing_changes(client, project, url, wrong):
    client.force_login(make_user("maintainer"))
    assert client.post(url, options(**wrong)).status_code == 400
    project.refresh_from_db()
    assert (project.name, project.abstain_below, project.retention) == ("Dishes", 0.0, "")


def test_a_reviewer_may_not(client, url):
    client.force_login(make_user("reviewer"))
    assert client.get(url).status_code == 403


def test_a_project_of_texts_is_not_asked_how_it_sees_pictures(client):
    project = make_project(modality="text")
    client.force_login(make_user("maintainer"))
    page = client.get(reverse("training:options", args=[project.slug])).content.decode()
    assert "For inspection" not in page
    assert "Test-time augmentation" not in page
