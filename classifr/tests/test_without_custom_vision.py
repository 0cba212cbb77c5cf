"""When Azure Custom Vision has ended, four folders and their lines in the settings can be deleted.

Nothing else imports them; and without them an installation that had imported from the service, and
had models trained there, goes on: its pages open, its history is shown, the local model answers.
"""

import ast
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from classifr.tests.process_tree import ROOT
from classifr.tests.test_architecture import imported, modules
from classifr.tests.test_upgrade import ARCHIVES
from classifr.tests.upgrade.make_data_folder import SECRET_KEY

PARTS = ("client", "trainer", "importer", "predictor")
SETTINGS = """
from classifr.settings import *

INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "customvision.importer"]
PREDICTORS = {alias: one for alias, one in PREDICTORS.items() if alias != "azure"}
TRAINERS = {alias: one for alias, one in TRAINERS.items() if alias != "azure"}
"""
PAGES = """
from django.test import Client
from accounts.models import User
from predictions import classification
from predictions.models import Project
from predictions.tests.factories import make_upload
from training.models import TrainingRun

maintainer = User.objects.get(username="maintainer")
client = Client(raise_request_exception=True, SERVER_NAME="localhost")
client.force_login(maintainer)
colours = Project.objects.get(slug="colours")
run = TrainingRun.objects.exclude(model_version=None).first()
pages = ["/", "/help/", "/predictions/", "/training/", "/training/colours/", "/review/"]
for page in [*pages, f"/training/runs/{run.pk}/", "/training/dishes/"]:
    status = client.get(page).status_code
    assert status == 200, (page, status)
assert classification.classify_upload(colours, make_upload(colour="red"), by=maintainer).top
"""


def test_nothing_but_the_settings_names_what_goes_with_the_service():
    prefixes = tuple(f"customvision.{part}" for part in PARTS)
    own = tuple(f"customvision/{part}" for part in PARTS)
    arrows = [
        f"{path}:{line} {name}"
        for path, tree in modules()
        for name, line in imported(tree)
        if name.startswith(prefixes) and not path.startswith(own)
    ]
    assert arrows == []


def test_such_an_import_would_be_noticed():
    names = dict(imported(ast.parse("from customvision.client import client")))
    assert list(names) == ["customvision.client.client"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The project without the four folders, and beside it the data of an installation."""
    without = tmp_path / "project"
    shutil.copytree(
        ROOT,
        without,
        ignore=shutil.ignore_patterns(".*", "var", "static-root", "node_modules", "__pycache__"),
    )
    for part in PARTS:
        path = without / "customvision" / part
        shutil.rmtree(path) if path.is_dir() else path.with_suffix(".py").unlink()
    (without / "classifr" / "settings_without.py").write_text(SETTINGS)
    with tarfile.open(ARCHIVES[0]) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    return without


@pytest.mark.outer
def test_without_them_an_installation_goes_on(tree):
    environment = os.environ | {
        "CLASSIFR_DATA_DIR": str(tree.parent / "data"),
        "DJANGO_SETTINGS_MODULE": "classifr.settings_without",
        "SECRET_KEY": SECRET_KEY,
    }
    environment.pop("DATABASE_URL", None)
    for arguments in (
        ["check"],
        ["migrate", "--verbosity", "0"],
        ["collectstatic", "--noinput", "--verbosity", "0"],
        ["shell", "-v0", "-c", PAGES],
    ):
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
