"""TensorFlow beside what else a worker does in the same process."""

import subprocess
import sys

import pytest
from django.conf import settings

PROGRAM = """
from training.backbones.keras_session import import_keras_quietly
import_keras_quietly()
from common import fetching
try:
    fetching.fetch_url("http://127.0.0.1/x.png", most_bytes=1000)
except fetching.FetchRefused as error:
    print(error)
"""


@pytest.mark.outer
def test_a_worker_that_has_trained_still_fetches_pictures():
    environment = {"DJANGO_SETTINGS_MODULE": "classifr.tests.settings", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup(){PROGRAM}"],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip(), done.stderr
