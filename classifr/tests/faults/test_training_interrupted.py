"""Promise 19: whatever kills a training run or a model, the one that was live keeps answering."""

from pathlib import Path

import pytest
import requests

from classifr.tests.faults.installation import Installation, kill
from classifr.tests.process_tree import manage
from predictions.tests.factories import make_picture_bytes
from scripts.services import wait_until

pytestmark = pytest.mark.outer

TRAINABLE = """
from predictions.models import Project
from training.tests.factories import make_labelled
project = Project.objects.get(slug="dishes")
for name, colour in (("gnocchi", "black"), ("risotto", "grey"), ("tiramisu", "white")):
    make_labelled(project, name, colour=colour, test=20)  # enough for the gate
"""
ASK = """
from predictions.models import Project
from training.runs import submission
promote = submission.RunOptions(promote=True)
submission.submit_run(Project.objects.get(slug="dishes"), promote, by=None)
"""
BUNDLE = """
from predictions.tests.factories import make_live_model, make_project
from predictions.tests.tiny_model import write_tiny_bundle
bundle = write_tiny_bundle("colours")
make_live_model(
    make_project("Colours", slug="colours"), bundle.class_names,
    predictor="keras", reference=bundle.reference, digest=bundle.digest,
)
print(bundle.reference)
"""


def shell(installation: Installation, code: str) -> str:
    return manage(installation.folder, "shell", "-v0", "-c", code, **installation.variables).strip()


def live_number(installation: Installation) -> int:
    return installation.predict().json()["model_version"]


def runs(installation: Installation) -> list[str]:
    return [
        status
        for (status,) in installation.rows("SELECT status FROM training_trainingrun ORDER BY id")
    ]


@pytest.fixture
def kitchen(install) -> Installation:
    installation = install()
    shell(installation, TRAINABLE)
    installation.start_web()
    return installation


def kill_at(installation: Installation, step: str) -> None:
    reached = installation.folder / "reached"
    worker = installation.start_worker("--stop-at", step, str(reached))
    wait_until(reached.exists, f"the step {step}", timeout_seconds=60)
    assert installation.rows("SELECT COUNT(*) FROM predictions_promotion") == [(1,)]
    kill(worker)
    reached.unlink()
    assert live_number(installation) == 1


def test_killed_while_it_learns_and_while_it_promotes_it_ends_with_one_new_model(kitchen):
    shell(kitchen, ASK)
    kill_at(kitchen, "train")
    kill_at(kitchen, "promote")
    assert kitchen.rows("SELECT COUNT(*) FROM predictions_modelversion") == [(1,)], (
        "nothing half-registered"
    )
    kitchen.start_worker()
    wait_until(lambda: runs(kitchen) == ["succeeded"], "the end of the run", timeout_seconds=60)
    assert live_number(kitchen) == 2
    assert kitchen.rows("SELECT COUNT(*) FROM predictions_modelversion") == [(2,)]
    assert kitchen.rows("SELECT COUNT(*) FROM predictions_promotion") == [(2,)]


def test_a_run_that_kills_every_worker_is_given_up_and_the_next_one_works(kitchen):
    shell(kitchen, ASK)
    for _attempt in range(3):
        kill_at(kitchen, "train")
    kitchen.start_worker()
    wait_until(lambda: runs(kitchen) == ["failed"], "the end of the run", timeout_seconds=60)
    ((sentence,),) = kitchen.rows("SELECT error FROM training_trainingrun")
    assert "Nothing was changed" in sentence
    assert live_number(kitchen) == 1
    shell(kitchen, ASK)
    wait_until(lambda: runs(kitchen) == ["failed", "succeeded"], "the next run", timeout_seconds=60)
    assert live_number(kitchen) == 2


def test_a_tampered_model_is_refused_with_a_sentence_and_the_server_stays_up(install):
    # Each process finds out for itself, within ten seconds
    installation: Installation = install(WEB_CONCURRENCY="1")
    reference = shell(installation, BUNDLE).splitlines()[-1]
    model: Path = installation.folder / "models" / reference / "model.tflite"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    installation.start_web()

    def ask_colours() -> requests.Response:
        picture = {"file": ("red.jpg", make_picture_bytes("red"), "image/jpeg")}
        return installation.ask("POST", "/api/v1/projects/colours/predict", files=picture)

    refused = ask_colours()
    assert refused.status_code == 503, refused.text
    assert "its content is not what was trained" in refused.json()["message"]
    ready = requests.get(f"{installation.url}/readyz", timeout=30)
    assert ready.status_code == 503
    assert ready.json()["parts"]["models"] == "1 live models cannot be loaded"
    assert requests.get(f"{installation.url}/healthz", timeout=30).status_code == 200
    assert installation.predict().status_code == 200, "the other project goes on"
    model.write_bytes(whole)
    wait_until(lambda: ask_colours().status_code == 200, "the restored model", timeout_seconds=60)
    assert (
        max(ask_colours().json()["predictions"], key=lambda one: one["probability"])["category"]
        == "red"
    )
    wait_until(
        lambda: requests.get(f"{installation.url}/readyz", timeout=30).ok,
        "readiness",
        timeout_seconds=60,
    )
