"""An installation goes on after an upgrade: data of an earlier version, code of today."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from classifr.tests.process_tree import ROOT, environment, manage
from classifr.tests.upgrade.make_data_folder import SECRET_KEY, TRAINING_KEY

pytestmark = pytest.mark.outer
ARCHIVES = sorted((Path(__file__).parent / "upgrade").glob("*.tar.xz"))


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def upgraded(request, tmp_path: Path):
    """The data folder, migrated, with every waiting job done; and what was in it before."""
    with tarfile.open(request.param) as tar:
        tar.extractall(tmp_path, filter="data")
    before = json.loads((tmp_path / "facts.json").read_text())
    manage(tmp_path, "migrate", "--verbosity", "0", SECRET_KEY=SECRET_KEY)
    manage(tmp_path, "worker", "--once", SECRET_KEY=SECRET_KEY)
    return before, find(tmp_path, before["sealed_key"])


def find(folder: Path, sealed_key: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "classifr.tests.upgrade.check_data_folder", sealed_key],
        cwd=ROOT,
        env=environment(folder) | {"SECRET_KEY": SECRET_KEY, "DEBUG": "true"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_there_is_an_archive_to_upgrade():
    assert ARCHIVES


def test_an_upgraded_installation_goes_on(upgraded):
    before, now = upgraded
    for what in ("predictions", "red", "decisions", "truth", "further", "counts"):
        assert now[what] == before[what], what
    assert sorted(now["vectors"]) == sorted(before["vectors"])
    assert now["training_key"] == TRAINING_KEY
    assert now["broken_pages"] == []
    assert now["kept"] == []
    assert {kind for kind, _status, _error in now["jobs"]} >= set(before["kinds"])
    # What moved to `misclassified` just now has its first copy deleted a minute later
    just_moved = ("predictions.settle_misclassified", "waiting")
    unfinished = [
        job for job in now["jobs"] if job[1] != "succeeded" and (job[0], job[1]) != just_moved
    ]
    # The import's key is older than a day: it must be asked for again, which is how such an import
    # ends
    assert [(kind, status) for kind, status, _error in unfinished] == [
        ("training.import_custom_vision", "failed")
    ]
    assert "key is no longer kept" in unfinished[0][2]
