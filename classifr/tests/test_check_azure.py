"""`manage.py check_azure`: one line for each permission, exit code 1 when one fails, and no key."""

import io

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command

from customvision.client.tests import faults
from customvision.client.tests.world import Iteration, Project


def check() -> str:
    out = io.StringIO()
    try:
        call_command("check_azure", stdout=out, no_color=True)
    except CommandError as error:
        out.write(f"{error}\nexit {error.returncode}")
    return out.getvalue()


@pytest.fixture
def service(custom_vision, settings):
    """Custom Vision with all keys set."""
    training = {"key": custom_vision.training_key, "resource_id": custom_vision.resource_id}
    for name, own in (
        ("PREDICTORS", {"key": custom_vision.prediction_key}),
        ("TRAINERS", training),
    ):
        backend = getattr(settings, name)["azure"]["BACKEND"]
        azure = {
            "azure": {"BACKEND": backend, "OPTIONS": {"endpoint": custom_vision.endpoint} | own}
        }
        setattr(settings, name, getattr(settings, name) | azure)
    return custom_vision


def test_with_nothing_set_nothing_is_tried_and_nothing_fails():
    told = check()
    assert (
        "prediction key: not set: AZURE_CUSTOM_VISION_PREDICTION_ENDPOINT, "
        "AZURE_CUSTOM_VISION_PREDICTION_KEY" in told
    )
    assert "storage misclassified: not at Azure" in told
    assert "exit" not in told


def test_right_keys_work(service):
    told = check()
    assert f"works prediction key: accepted by {service.endpoint}" in told
    assert "works training key" in told
    assert "publish resource id: set; whether it works shows at the first publication" in told
    assert "exit" not in told


def test_a_publish_target_that_was_used_works(service):
    project = Project("Plates")
    iteration = Iteration("Iteration 1", "", None, 0, status="Completed", publish_name="classifr-1")
    iteration.publish_target = service.resource_id.upper()
    project.iterations[iteration.id] = iteration
    service.projects[project.id] = project
    assert (
        "works publish resource id: models are published to it, for example “classifr-1”" in check()
    )


def test_wrong_keys_fail_each_on_its_own(service):
    own, service.prediction_key = service.prediction_key, "changed"
    told = check()
    assert "FAILS prediction key: Azure Custom Vision does not accept our key." in told
    assert "works training key" in told
    assert told.endswith("exit 1")
    assert own not in told and service.training_key not in told


@pytest.mark.parametrize(
    "fault", [faults.out_of_calls(), faults.server_error(), faults.reset(), faults.too_many("99")]
)
def test_whatever_fails_no_key_is_told(service, fault, monkeypatch):
    monkeypatch.setattr("customvision.predictor.PROBE_SECONDS", 0.5)
    monkeypatch.setattr("customvision.trainer.trainer.PROBE_SECONDS", 0.5)
    service.fail("*", fault, always=True)
    told = check()
    assert told.count("FAILS") == 3 and told.endswith("exit 1")
    assert service.prediction_key not in told and service.training_key not in told


def test_another_server_is_not_taken_for_custom_vision(service, settings):
    options = settings.PREDICTORS["azure"]["OPTIONS"] | {
        "endpoint": f"{service.endpoint}/elsewhere"
    }
    backend = {"BACKEND": settings.PREDICTORS["azure"]["BACKEND"], "OPTIONS": options}
    settings.PREDICTORS = settings.PREDICTORS | {"azure": backend}
    assert "FAILS prediction key" in check()


def at_azure(settings, connection_string: str, container: str) -> None:
    options = {"connection_string": connection_string, "azure_container": container, "timeout": 5}
    backend = {"BACKEND": "common.blob_storages.AzureBlobStorage", "OPTIONS": options}
    settings.STORAGES = settings.STORAGES | {"misclassified": backend}


@pytest.mark.outer
class TestContainers:
    def test_each_permission_of_a_container_is_tried(self, azurite, settings):
        at_azure(settings, azurite.connection_string, "check-azure-tried")
        first, second = check(), check()
        name = "storage misclassified, container check-azure-tried"
        assert f"works {name}: create: it was missing and was made, private" in first
        assert f"works {name}: create: it is there" in second
        for step in ("write", "read", "delete"):
            assert f"works {name}: {step}" in second
        assert list(storages["misclassified"].client.list_blobs()) == []

    def test_a_wrong_account_key_fails_without_being_told(self, azurite, settings):
        key = "d3Jvbmcta2V5LXdyb25nLWtleQ=="
        parts = dict(
            part.split("=", 1) for part in azurite.connection_string.rstrip(";").split(";")
        )
        wrong = ";".join(
            f"{name}={key if name == 'AccountKey' else value}" for name, value in parts.items()
        )
        at_azure(settings, wrong, "check-azure-wrong")
        told = check()
        assert "FAILS storage misclassified" in told and told.endswith("exit 1")
        assert key not in told
