"""A maintainer brings projects home on pages, and the key leaves no trace."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from common import jobs
from common.models import Job
from customvision.client import client as calls
from customvision.client.tests import faults
from customvision.importer import (
    import_jobs,
    service,
    views,
)
from customvision.importer.tests.remote_factories import bring_home, make_iteration, make_remote
from customvision.models import ImportedProject, ServiceAccess
from predictions.models import Project, Sample
from predictions.tests.factories import make_user
from training.tests.factories import make_finished_run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Let the pauses be short, and the tier generous."""
    monkeypatch.setattr(calls, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(service, "OTHER_CALLS_PER_SECOND", {"F0": 1000})


@pytest.fixture
def maintainer(client):
    user = make_user("maintainer")
    client.force_login(user)
    return user


def give_key(client, service, **fields):
    data = {"endpoint": service.endpoint, "key": service.training_key} | fields
    return client.post(reverse("importer:import_start"), data)


def ask_for_import(client, service, project, **fields):
    choice = give_key(client, service)
    return client.post(choice.url, {"projects": [project.id]} | fields)


def test_endpoint_and_key_then_a_choice_then_an_import(client, maintainer, custom_vision):
    there = make_remote(custom_vision)
    choice = give_key(client, custom_vision)
    assert there.name in client.get(choice.url).content.decode()
    page = client.post(choice.url, {"projects": [there.id]})
    assert "waits for a worker" in client.get(page.url).content.decode()
    assert jobs.run_due_jobs("imports") == 1
    told = client.get(page.url).content.decode()
    assert "Complete: everything was imported." in told
    sample = Sample.objects.first()
    assert sample.uploaded_by == maintainer and sample.decisions.get().reviewer == maintainer


def test_the_key_is_in_no_page_row_or_job_and_forgotten_at_the_end(
    client, maintainer, custom_vision
):
    there = make_remote(custom_vision)
    key = custom_vision.training_key
    choice = give_key(client, custom_vision)
    access = ServiceAccess.objects.get()
    assert key not in f"{access.sealed_key}{vars(access)}"
    assert key not in client.get(choice.url).content.decode()
    page = client.post(choice.url, {"projects": [there.id]})
    assert key not in f"{Job.objects.get().payload}" + client.get(page.url).content.decode()
    import_jobs.delete_unneeded_keys()
    assert ServiceAccess.objects.exists()  # the import still needs it
    jobs.run_due_jobs("imports")
    import_jobs.delete_unneeded_keys()
    assert not ServiceAccess.objects.exists() and ImportedProject.objects.exists()


def test_a_key_that_no_import_uses_is_forgotten_after_a_while(client, maintainer, custom_vision):
    give_key(client, custom_vision)
    import_jobs.delete_unneeded_keys()
    assert ServiceAccess.objects.exists()
    ServiceAccess.objects.update(created_at=timezone.now() - timedelta(hours=2))
    import_jobs.delete_unneeded_keys()
    assert not ServiceAccess.objects.exists()


def test_a_wrong_key_is_told_and_not_kept(client, maintainer, custom_vision):
    choice = give_key(client, custom_vision, key="no-such-key")
    answer = client.get(choice.url, follow=True)
    assert "does not accept our key" in answer.content.decode()
    assert "no-such-key" not in answer.content.decode() and not ServiceAccess.objects.exists()


def test_an_endpoint_without_encryption_is_refused_and_the_key_not_shown_again(
    client, maintainer, custom_vision
):
    answer = give_key(client, custom_vision, endpoint="http://example.com")
    assert answer.status_code == 400
    assert "begins with https://" in answer.content.decode()
    assert custom_vision.training_key not in answer.content.decode()


def test_a_key_is_for_whoever_gave_it_alone(client, maintainer, custom_vision):
    choice = give_key(client, custom_vision)
    client.force_login(make_user("maintainer"))
    assert client.get(choice.url).status_code == 404


def test_an_import_goes_on_while_the_service_is_away_and_says_so(
    client, maintainer, custom_vision, monkeypatch
):
    monkeypatch.setattr(service, "PATIENCE_SECONDS", 0.3)
    there = make_remote(custom_vision)
    page = ask_for_import(client, custom_vision, there)
    custom_vision.fail("get_images", faults.unavailable("60"), always=True)
    jobs.run_due_jobs("imports")
    assert Job.objects.get().status == Job.Status.WAITING
    assert "It is retried automatically" in client.get(page.url).content.decode()
    custom_vision.heal()
    Job.objects.update(due_at=timezone.now())
    jobs.run_due_jobs("imports")
    assert ImportedProject.objects.get().report["complete"]


def test_a_second_import_of_the_same_project_at_once_is_refused(client, maintainer, custom_vision):
    there = make_remote(custom_vision)
    ask_for_import(client, custom_vision, there)
    choice = give_key(client, custom_vision)
    answer = client.post(choice.url, {"projects": [there.id]}, follow=True)
    assert "is being imported already" in answer.content.decode()
    assert Job.objects.count() == 1


def test_an_import_is_cancelled_and_its_key_forgotten(client, maintainer, custom_vision):
    page = ask_for_import(client, custom_vision, make_remote(custom_vision))
    imported = ImportedProject.objects.get()
    client.post(reverse("importer:cancel_import", args=[imported.pk]))
    assert "was cancelled" in client.get(page.url).content.decode()
    assert not ServiceAccess.objects.exists()
    assert client.post(reverse("importer:cancel_import", args=[imported.pk])).status_code == 409


def test_progress_is_asked_for_until_the_end(client, maintainer, custom_vision):
    ask_for_import(client, custom_vision, make_remote(custom_vision))
    address = reverse("importer:import_progress", args=[ImportedProject.objects.get().pk])
    assert b"hx-get" in client.get(address).content
    jobs.run_due_jobs("imports")
    assert client.get(address).headers["HX-Refresh"] == "true"


def test_stored_predictions_come_when_chosen(client, maintainer, custom_vision):
    ask_for_import(client, custom_vision, make_remote(custom_vision), with_predictions="on")
    jobs.run_due_jobs("imports")
    assert ImportedProject.objects.get().report["predictions"] == {
        "there": 0,
        "here": 0,
        "failed": 0,
    }


def test_the_projects_page_shows_what_custom_vision_said_of_its_iterations(
    client, maintainer, custom_vision
):
    make_iteration(make_remote(custom_vision), name="The best one", published="production")
    bring_home(custom_vision)
    page = client.get(
        reverse("training:project", args=[Project.objects.get().slug])
    ).content.decode()
    assert "The best one" in page and "production" in page and "100" in page


def test_a_runs_page_shows_both_models_figures_side_by_side(client, maintainer, custom_vision):
    there = make_remote(custom_vision, each=30)
    make_iteration(there, name="The best one")
    bring_home(custom_vision)
    Project.objects.update(trainer="dummy")
    project = Project.objects.get()
    project.categories.filter(name="dark").update(name="very dark")
    run = make_finished_run(project)
    page = client.get(reverse("training:run", args=[run.pk])).content.decode()
    assert "Beside “The best one” of Custom Vision" in page
    assert "not measured on the same pictures" in page
    beside = page.partition("Beside “The best one”")[2].partition("</section>")[0]
    assert beside.count("very dark") == 1  # one row for both, whatever the tag was called
    assert beside.count("<svg") == 2 * 3 * 3


def test_a_run_without_history_says_nothing_of_custom_vision(client, maintainer):
    run = make_finished_run()
    assert (
        "of Custom Vision"
        not in client.get(reverse("training:run", args=[run.pk])).content.decode()
    )


def test_a_page_does_not_wait_for_long(client, maintainer, custom_vision, monkeypatch):
    monkeypatch.setattr(views, "ASK_SECONDS", 0.3)
    custom_vision.fail("get_domains", faults.unavailable("30"), always=True)
    choice = give_key(client, custom_vision)
    assert "is busy. Try again in 30 s" in client.get(choice.url, follow=True).content.decode()
