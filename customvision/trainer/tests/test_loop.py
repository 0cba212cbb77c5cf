"""The loop with Azure, over real HTTP: add a category, retrain, promote, go back and forward."""

import logging

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from common.models import Job
from customvision.client.tests import faults
from customvision.client.tests.stand_in import StandIn
from customvision.trainer.tests.test_trainer import options_of, predictors_of, without_waiting
from predictions import registry
from predictions.models import Prediction, Project
from predictions.tests.factories import (
    make_live_model,
    make_picture_bytes,
    make_project,
    make_upload,
    make_user,
)
from training.models import Evaluation, TrainingPolicy, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

SHADES = {"dark": 20, "middle": 128, "light": 235}


@pytest.fixture
def service(custom_vision, settings, monkeypatch) -> StandIn:
    without_waiting(monkeypatch)
    settings.PREDICTORS = predictors_of(custom_vision)
    backend = {
        "BACKEND": "customvision.trainer.trainer.CustomVisionTrainer",
        "OPTIONS": options_of(custom_vision),
    }
    settings.TRAINERS = settings.TRAINERS | {"azure": backend}
    return custom_vision


@pytest.fixture
def project(service, tmp_path) -> Project:
    """A project with a local model that knows dark and light, and pictures of both."""
    project = make_project("Plates", slug="plates")
    make_live_model(project, ("dark", "light"))
    for name in ("dark", "light"):
        call_command(
            "add_category", name, "--project", "plates", "--images", str(pictures(tmp_path, name))
        )
    return project


def pictures(folder, name: str):
    """Draw forty pictures of a category, each different."""
    (folder / name).mkdir()
    for number in range(40):
        shade = SHADES[name] + number % 20 - 10
        data = make_picture_bytes(
            (shade, shade, (shade + number) % 256), format="PNG", size=(24 + number, 24)
        )
        (folder / name / f"{number}.png").write_bytes(data)
    return folder / name


def upload(client: Client, name: str) -> Prediction:
    data = make_picture_bytes((SHADES[name],) * 3, format="PNG")
    assert client.post("/projects/plates/classify/", {"file": make_upload(data)}).status_code == 302
    return Prediction.objects.latest("pk")


def test_a_category_is_taught_to_azure_as_to_a_local_model(service, project, tmp_path, capsys):
    user, maintainer = Client(), Client()
    user.force_login(make_user())
    maintainer.force_login(make_user("maintainer"))
    assert upload(user, "middle").top.name in ("dark", "light")

    # One command adds the category, trains at Azure, measures on our own test split, and promotes.
    folder = str(pictures(tmp_path, "middle"))
    options = (
        "--project",
        "plates",
        "--images",
        folder,
        "--retrain",
        "--trainer",
        "azure",
        "--promote",
    )
    call_command("add_category", "middle", *options)
    live = registry.live_version(project)
    assert (live.number, live.predictor) == (2, "azure")
    assert "Registered version 2" in capsys.readouterr().out
    evaluation = Evaluation.objects.get(model_version=live)
    assert evaluation.accuracy == 1 and evaluation.skipped == 0
    (there,) = service.projects.values()
    in_test = evaluation.dataset.items.filter(split="test").count()
    assert len(there.images) == evaluation.dataset.items.count() - in_test

    # The next upload is answered by it.
    answer = upload(user, "middle")
    assert (answer.model_version, answer.top.name) == (live, "middle")

    # Its page shows what Custom Vision says of it.
    page = maintainer.get(f"/training/runs/{live.run.pk}/").content.decode()
    assert "What Custom Vision reports" in page

    # Back to the local one, and forward again, is one click each.
    first = project.model_versions.get(number=1)
    for version in (first, live):
        response = maintainer.post(
            f"/training/model-versions/{version.pk}/promote/", {"reason": "to compare"}
        )
        assert response.status_code == 302
        assert upload(user, "dark").model_version == version


def test_a_run_that_azure_ends_says_why_and_changes_nothing(service, project):
    service.training_fails = True
    with pytest.raises(CommandError, match="no capacity"):
        call_command("retrain", "--project", "plates", "--trainer", "azure", "--promote")
    assert registry.live_version(project).number == 1
    assert project.runs.get().status == "failed"
    service.heal()
    TrainingPolicy.objects.create(project=project, margin=0.5)  # few test pictures tell little
    call_command("retrain", "--project", "plates", "--trainer", "azure", "--promote")
    assert registry.live_version(project).number == 2
    assert set(service.times_taken(["create_images_from_files"]).values()) == {1}


@pytest.mark.parametrize(
    "fault",
    [
        faults.wrong_key(),
        faults.quota_reached(),
        faults.out_of_calls(),
        faults.too_many("900"),
        faults.reset(),
    ],
)
def test_however_a_run_ends_its_key_is_nowhere(service, project, caplog, capsys, fault):
    caplog.set_level(logging.DEBUG)
    service.fail("create_images_from_files", fault, always=True)
    with pytest.raises(CommandError) as caught:
        call_command("retrain", "--project", "plates", "--trainer", "azure")
    run = project.runs.get()
    assert (run.status, run.model_version) == ("failed", None)
    assert run.error.endswith(".")
    rows = [*TrainingRun.objects.values(), *Job.objects.values(), *project.model_versions.values()]
    told = capsys.readouterr()
    everything = "".join([caplog.text, told.out, told.err, str(caught.value), *map(repr, rows)])
    assert service.training_key not in everything and service.prediction_key not in everything
