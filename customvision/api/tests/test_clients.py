"""Programs on several SDKs of Custom Vision run the quick-start."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from accounts.tests.factories import make_maintainer, make_token, make_user
from common import jobs, tasks
from predictions.models import Project, Sample
from predictions.tests.factories import make_picture_bytes

CLIENTS = Path(__file__).with_name("clients")
TOOLS = Path(django_settings.BASE_DIR) / ".tools" / "customvision"
SECONDS = 120  # for a whole quick-start, so that one that hangs ends
pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def environment(live_server, settings, tmp_path):
    """What a program needs: endpoint, keys, and a folder of dark and light pictures."""
    settings.DEFAULT_TRAINER = "dummy"
    settings.CUSTOM_VISION_URL_ALLOW = [
        "127.0.0.0/8",
        "::1/128",
    ]  # the pictures' own addresses on the test server
    tasks.autodiscover()
    for name, shades in (("dark", range(5, 14)), ("light", range(230, 239))):
        (tmp_path / name).mkdir()
        for shade in shades:
            (tmp_path / name / f"{shade}.png").write_bytes(plate(shade))
    (tmp_path / "one.png").write_bytes(plate(60))
    (tmp_path / "another.png").write_bytes(plate(3))
    return os.environ | {
        "ENDPOINT": live_server.url,
        "TRAINING_KEY": make_token(make_maintainer()),
        "PREDICTION_KEY": make_token(make_user()),
        "PICTURES": str(tmp_path),
        "TYPE": "Multiclass",
    }


def plate(shade: int) -> bytes:
    return make_picture_bytes((shade, shade, shade), format="PNG")


def finish(program: subprocess.Popen) -> str:
    """Do the training that a program asks for until it ends; return what it printed."""
    deadline = time.monotonic() + SECONDS
    while program.poll() is None:
        if time.monotonic() > deadline:
            program.kill()
        jobs.run_due_jobs("training")
        time.sleep(0.02)
    printed, complaints = program.communicate()
    assert program.returncode == 0, complaints
    return printed


def run(command: list[str], environment: dict[str, str]) -> str:
    pipe = subprocess.PIPE
    return finish(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))


def check(printed: str, sdk: str, *, retagged: tuple[str, ...] = ("dark",)) -> None:
    assert json.loads(printed) == {"sdk": sdk, "answers": ["dark"] * 4, "retagged": list(retagged)}
    assert not Project.objects.exists()
    jobs.run_due_jobs()
    assert not Project.everywhere.exists() and not Sample.objects.exists()


@pytest.mark.parametrize("sdk", ["1.0.0", "2.0.0", "3.0.0", "3.1.1"])
def test_a_program_in_python(sdk, environment):
    if sdk != "3.1.1":  # the one that Classifr itself comes with
        assert (TOOLS / sdk).is_dir(), "run `make tools`"
        environment |= {"PYTHONPATH": str(TOOLS / sdk)}
    check(run([sys.executable, str(CLIENTS / "quickstart.py")], environment), sdk)


def test_a_program_in_python_that_names_no_type(environment):
    """As in Microsoft's own quick-start: the project is Multilabel, and a second tag is added."""
    printed = run([sys.executable, str(CLIENTS / "quickstart.py")], environment | {"TYPE": ""})
    check(printed, "3.1.1", retagged=("dark", "light"))


@pytest.mark.parametrize(
    ("named", "retagged"), [("Multiclass", ("dark",)), ("", ("dark", "light"))]
)
def test_a_program_in_javascript(named, retagged, environment):
    assert (TOOLS / "node_modules").is_dir(), "run `make tools`"
    environment |= {"PACKAGES": str(TOOLS), "TYPE": named}
    check(run(["node", str(CLIENTS / "quickstart.js")], environment), "5.2.0", retagged=retagged)
