"""The snippets on the training page run as shown, with a token and a picture."""

import html
import os
import re
import subprocess
import sys

import pytest
from django.urls import reverse

from accounts.tests.factories import make_maintainer, make_token, make_user
from customvision.api.tests.factories import make_caller, make_published
from customvision.api.tests.test_clients import TOOLS
from predictions.tests.factories import make_picture_bytes

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]
SECONDS = 60


@pytest.fixture
def run(live_server, client, tmp_path):
    """Run the snippet of a language in a folder with a picture; return what it prints."""
    maintainer = make_maintainer()
    project, _tags, iteration = make_published(make_caller(maintainer), name="production")
    client.force_login(maintainer)
    host = live_server.url.partition("//")[2]
    page = client.get(
        reverse("training:project", args=[project.slug]), headers={"host": host}
    ).content.decode()
    (tmp_path / "picture.jpg").write_bytes(make_picture_bytes((3, 3, 3)))
    keys = {"Training-Key": make_token(maintainer), "Prediction-Key": make_token(make_user())}

    def do(language: str, *command: str) -> str:
        shown = re.search(
            rf'aria-labelledby="connect-{language}"><code>(.*?)</code>', page, re.DOTALL
        ).group(1)
        text = html.unescape(shown).replace("ITERATION", iteration)
        for header, key in keys.items():
            text = re.sub(rf"({header}\W+)YOUR TOKEN", rf"\g<1>{key}", text, flags=re.IGNORECASE)
        environment = os.environ | {"NODE_PATH": str(TOOLS / "node_modules")}
        done = subprocess.run(
            [*command],
            input=text,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return do


def test_the_snippet_in_python(run):
    assert run("python", sys.executable, "-").startswith("dark ")


def test_the_snippet_in_javascript(run):
    assert run("javascript", "node", "-").startswith("dark ")


def test_the_snippet_for_curl(run):
    assert '"tagName": "dark"' in run("curl", "bash", "-e").splitlines()[-1]
