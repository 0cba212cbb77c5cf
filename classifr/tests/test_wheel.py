"""The wheel alone is enough: commands, pages, static files and translations, in its own folder."""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from classifr.tests.process_tree import ROOT
from scripts.services import free_port, wait_until

pytestmark = pytest.mark.outer
FRENCH = {"Accept-Language": "fr"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory, static_files) -> Path:
    """An environment of its own with the wheel.

    Of the dependencies, which are the same as ours and two gigabytes, it sees ours; so that the
    test needs no network. Nothing there leads to this checkout.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("classifr-*.whl")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    python = str(environment / "bin/python")
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin/classifr"


@pytest.fixture
def variables(tmp_path) -> dict[str, str]:
    """What somebody has who set nothing."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "WEB_CONCURRENCY": "1"}


@pytest.fixture
def run(installed, variables, tmp_path):
    def run_command(*arguments: str) -> str:
        done = subprocess.run(
            [installed, *arguments],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_command


@pytest.fixture
def address(installed, variables, tmp_path, run) -> Iterator[str]:
    run("migrate", "-v0")
    port = free_port()
    with open(tmp_path / "output", "wb") as output:
        served = subprocess.Popen(
            [installed, "serve", "--port", str(port)],
            cwd=tmp_path,
            env=variables,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "Classifr answers" in (tmp_path / "output").read_text(), "the wheel")
        yield f"http://127.0.0.1:{port}"
        # The worker that `serve` starts is there as well, and has not died of anything
        assert "ended with status" not in (tmp_path / "output").read_text()
    finally:
        served.terminate()
        served.wait(30)


def test_it_checks_and_keeps_its_data_in_the_folder_of_the_user(run, tmp_path):
    assert "no issues" in run("check")
    run("migrate", "-v0")
    assert (tmp_path / ".local/share/classifr/classifr.sqlite3").exists()
    assert "No changes" in run("makemigrations", "--check", "--dry-run")


def test_its_data_folder_has_its_settings(run, tmp_path):
    folder = tmp_path / ".local/share/classifr"
    folder.mkdir(parents=True)
    (folder / ".env").write_text("DATABASE_URL=sqlite:///" + str(tmp_path / "mine.sqlite3"))
    run("migrate", "-v0")
    assert (tmp_path / "mine.sqlite3").exists()


def test_it_serves_a_page_in_each_language_with_its_static_files(address):
    page = requests.get(f"{address}/account/login/", timeout=10)
    assert page.status_code == 200
    assert "Se connecter" in requests.get(page.url, headers=FRENCH, timeout=10).text
    stylesheets = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page.text)
    assert any("css/classifr." in each for each in stylesheets)
    for each in stylesheets:
        assert requests.get(f"{address}{each}", timeout=10).status_code == 200


def test_it_has_no_tests_and_no_other_top_level_names(installed):
    python = installed.parent / "python"
    listing = "from importlib.metadata import files; print(*files('classifr'), sep='\\n')"
    paths = [
        Path(line)
        for line in subprocess.check_output([python, "-c", listing], text=True).splitlines()
    ]
    assert not [path for path in paths if "tests" in path.parts]
    apps = {path.parent.name for path in ROOT.glob("*/apps.py")}
    assert {path.parts[0] for path in paths if path.suffix == ".py"} == apps
