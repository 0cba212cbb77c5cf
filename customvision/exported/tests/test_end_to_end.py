"""Exported models in real processes.

Classifr's own exports come home, and a server that was sent an archive answers the devices that
asked a container.
"""

import io
import os
import re

import numpy as np
import pytest
import requests

from accounts.tests.factories import make_maintainer
from classifr.tests.process_tree import Tree, manage
from common import jobs, tasks
from common.media import images
from customvision.api.tests.factories import make_caller, make_tagged
from customvision.exported import model_import
from customvision.exported.tests.factories import FROM_RGB, SQUARE_RGB, make_archive, make_tflite
from predictions import classification, registry
from predictions.models import Project
from predictions.tests.factories import make_picture_bytes, make_project
from scripts.services import wait_until
from training import exports

pytestmark = pytest.mark.outer
PASSWORD = "correct horse battery staple"
SHADES = (3, 60, 128, 200, 240)


@pytest.mark.django_db
@pytest.mark.parametrize("of", ["lite", "onnx"])
def test_an_export_of_ours_answers_as_its_model_did(of):
    tasks.autodiscover()
    caller = make_caller(make_maintainer())
    project, _tags = make_tagged(caller, pictures=8)
    Project.objects.filter(pk=project.pk).update(trainer="keras")
    caller.training("POST", f"projects/{project.uuid}/train")
    jobs.run_due_jobs("training")
    trained = project.model_versions.get()
    data = exports.build_archive(registry.model_ref(trained), trained.class_names, of)
    version, _new = model_import.import_archive(make_project(), io.BytesIO(data))
    sizes = ((64, 48), (300, 200))
    pictures = [
        images.decode_upload(make_picture_bytes((shade, shade, 255 - shade), size, format="PNG"))
        for shade in SHADES
        for size in sizes
    ]
    expected = classification.predict_with(project, pictures, version=trained).scores
    found = classification.predict_with(version.project, pictures, version=version).scores
    for one, other in zip(expected, found, strict=True):
        # The server computes in int8, as TensorFlow Lite does; ONNX rounds where int8 does
        assert one == pytest.approx(other, abs=1e-3 if of == "lite" else 0.15)


@pytest.fixture
def tree(tmp_path, static_files):
    manage(tmp_path, "migrate", "-v0")
    manage(tmp_path, "create_project", "Edge", "--slug", "edge")
    secret = {"CLASSIFR_USER_PASSWORD": PASSWORD}
    manage(tmp_path, "create_user", "keeper", "--role", "maintainer", **secret)
    manage(tmp_path, "create_user", "devices", "--role", "user", **secret)
    tree = Tree(tmp_path, CONTAINER_PROJECT="edge", CONTAINER_USER="devices")
    try:
        wait_until(tree.is_complete, "serve")
        yield tree
    finally:
        tree.process.kill()
        tree.process.wait()
        wait_until(tree.is_gone, "the end of all children")


def token_of(page: str) -> str:
    return re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]


def test_a_model_that_is_sent_answers_devices(tree):
    site = tree.url
    browser = requests.Session()
    browser.trust_env = False
    page = browser.get(f"{site}/account/login/", timeout=20).text
    fields = {"login": "keeper", "password": PASSWORD, "csrfmiddlewaretoken": token_of(page)}
    browser.post(f"{site}/account/login/", fields, timeout=20)
    address = f"{site}/training/edge/models/import/"
    fields = {"csrfmiddlewaretoken": token_of(browser.get(address, timeout=20).text)}
    # Of weights, an archive is longer than any picture may be
    padding = {"notes.bin": os.urandom(9_000_000)}
    data = make_archive(make_tflite(FROM_RGB), properties=SQUARE_RGB, others=padding)
    sent = browser.post(
        address,
        fields | {"promote": "on"},
        files={"archive": ("export.zip", data, "application/zip")},
        timeout=60,
    )
    assert sent.status_code == 200, sent.text[:2000]
    picture = make_picture_bytes((250, 10, 20), format="PNG")

    def answers() -> bool:
        return ask("image", data=picture).status_code == 200

    def ask(path: str, **body) -> requests.Response:
        return requests.post(f"{site}/{path}", timeout=20, **body)

    wait_until(answers, "the model to be imported", timeout_seconds=60)
    for found in (
        ask("image", data=picture, headers={"Content-Type": "application/octet-stream"}),
        ask("image", files={"imageData": picture}),
        ask("0a/classify/iterations/Iteration3/image/nostore", files={"imageData": picture}),
    ):
        predictions = found.json()["predictions"]
        best = max(predictions, key=lambda one: one["probability"])
        assert best["tagName"] == "red" and best["probability"] > 0.99
    assert np.isclose(sum(one["probability"] for one in predictions), 1, atol=1e-4)
