"""An import that is killed goes on where it stopped: nothing lost, nothing doubled."""

import subprocess
import sys
import threading
from collections import Counter

import pytest

from classifr.tests.faults.installation import Installation, kill
from classifr.tests.process_tree import ROOT, manage
from common.media.images import decode_upload
from customvision.client.tests.stand_in import StandIn
from customvision.client.tests.world import Project, Tag
from predictions.tests.factories import make_picture_bytes
from scripts.services import wait_until

pytestmark = pytest.mark.outer

IMAGES = 300
SILENT = "from common.models import Job; Job.objects.update(heartbeat_at='2020-01-01T00:00Z')"


class Gate:
    """Lets some pictures of the stand-in through, and holds the next ones until it is opened."""

    def __init__(self, service: StandIn) -> None:
        self._blob, self._open = service.blob, threading.Semaphore(0)
        self.passed = 0
        service.blob = self  # type: ignore[method-assign]

    def let_through(self, pictures: int) -> None:
        self._open.release(pictures)

    def __call__(self, name: str, query: dict[str, str]) -> bytes | None:
        self._open.acquire(timeout=120)
        self.passed += 1
        return self._blob(name, query)


def fill(service: StandIn) -> Project:
    project = Project("Plates")
    service.projects[project.id] = project
    tags = [Tag(name) for name in ("one", "two", "three")]
    project.tags = {tag.id: tag for tag in tags}
    for number in range(IMAGES):
        project.put(
            make_picture_bytes((number % 256, number // 256, 96), format="PNG"),
            [tags[number % 3].id],
        )
    return project


def start(installation: Installation, service: StandIn) -> subprocess.Popen[bytes]:
    key = {"AZURE_CUSTOM_VISION_TRAINING_KEY": service.training_key}
    command = [
        sys.executable,
        "manage.py",
        "import_customvision",
        "Plates",
        "--endpoint",
        service.endpoint,
    ]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=installation.environment | key,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    installation.processes.append(process)
    return process


def kept(installation: Installation) -> int:
    return installation.rows(
        "SELECT count(*) FROM training_importedimage WHERE sample_id IS NOT NULL"
    )[0][0]


def test_three_hundred_images_and_two_kills(install, custom_vision):
    installation, there = install(), fill(custom_vision)
    gate = Gate(custom_vision)
    before = 0
    for pictures in (150, 130):  # what a killed process was waiting for counts, too
        process = start(installation, custom_vision)
        gate.let_through(pictures)
        wait_until(lambda: kept(installation) >= before + 64, "some pictures", timeout_seconds=120)  # noqa: B023
        kill(process)
        assert before < kept(installation) < IMAGES
        before = kept(installation)
        manage(installation.folder, "shell", "-v0", "-c", SILENT, **installation.variables)
    gate.let_through(10 * IMAGES)
    last = start(installation, custom_vision)
    told = last.communicate(timeout=240)[0].decode()
    assert last.returncode == 0, told
    assert "Complete: everything was imported." in told
    assert installation.rows(
        "SELECT count(*), count(DISTINCT sample_id) FROM training_importedimage"
    ) == [(300, 300)]
    assert installation.rows("SELECT count(*), count(DISTINCT sample_id) FROM review_decision") == [
        (300, 300)
    ]
    digests = {sha256 for (sha256,) in installation.rows("SELECT sha256 FROM predictions_sample")}
    assert digests == {
        decode_upload(image.data, least_side=1).sha256 for image in there.images.values()
    }
    sent = Counter(one.path for one in custom_vision.calls("link") if one.took_effect)
    # At most what was under way when the process was killed
    assert sum(sent.values()) <= IMAGES + 2 * 2 * 16
    assert installation.rows("SELECT count(*) FROM training_serviceaccess") == [(0,)]
    assert custom_vision.leaked_keys == 0
