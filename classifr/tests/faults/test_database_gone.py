"""Promise 20: without database or space the server says so, and goes on when they are back."""

import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from classifr.tests.faults.installation import LONGEST_ANSWER_SECONDS, Installation
from predictions.tests.factories import make_picture_bytes
from scripts.services import Postgres, wait_until

pytestmark = pytest.mark.outer

RECOVERY_SECONDS = 60


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this test's own: others would notice that it stops."""
    with Postgres() as server:
        yield server


@pytest.fixture
def on_postgres(tmp_path, postgres, static_files) -> Iterator[Installation]:
    installation = Installation(tmp_path, DATABASE_URL=postgres.fresh_database())
    installation.prepare()
    yield installation
    installation.close()


def ask_in_time(installation: Installation, path: str, **options) -> requests.Response:
    started = time.monotonic()
    answer = requests.get(installation.url + path, timeout=30, **options)
    assert time.monotonic() - started < LONGEST_ANSWER_SECONDS
    return answer


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_database_that_is_gone_is_told_and_waited_for(on_postgres, postgres, how):
    on_postgres.start_web()
    on_postgres.start_worker()
    browser = on_postgres.signed_in()
    prediction = on_postgres.predict().json()["id"]
    getattr(postgres, how)()
    for path in (
        "/",
        "/predictions/",
        "/projects/dishes/classify/",
        "/review/",
        f"/predictions/{prediction}/",
    ):
        page = ask_in_time(on_postgres, path, cookies=browser.cookies)
        assert page.status_code == 503, path
        assert "The database does not answer" in page.text
    refused = on_postgres.predict()
    assert refused.status_code == 503
    assert refused.json()["code"] == "unavailable"
    assert on_postgres.say_nok(prediction).status_code == 503, "not acknowledged"
    assert ask_in_time(on_postgres, "/healthz").status_code == 200
    assert ask_in_time(on_postgres, "/readyz").json()["parts"]["database"] == "cannot be used"
    postgres.start()
    back_at = time.monotonic()
    wait_until(
        lambda: on_postgres.say_nok(prediction).status_code == 200,
        "the web",
        timeout_seconds=RECOVERY_SECONDS,
    )
    moved = "SELECT 1 FROM predictions_sample WHERE location = 'misclassified'"
    wait_until(
        lambda: bool(on_postgres.rows(moved)),
        "the worker",
        timeout_seconds=RECOVERY_SECONDS - (time.monotonic() - back_at),
    )
    assert ask_in_time(on_postgres, "/", cookies=browser.cookies).status_code == 200
    assert all(process.poll() is None for process in on_postgres.processes), (
        "nothing had to be started again"
    )


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of a few pictures."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_told_and_nothing_is_kept_by_halves(install, small_disk):
    installation: Installation = install(UPLOADS_STORAGE=f"disk:{small_disk}")
    installation.start_web()
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 4096 * 15)
    big = make_picture_bytes(size=(1200, 900), format="PNG")
    refused = installation.predict(big)
    assert refused.status_code == 503, refused.text
    assert "could not be stored" in refused.json()["message"]
    assert int(refused.headers["Retry-After"]) > 0
    browser = installation.signed_in()
    page = f"{installation.url}/projects/dishes/classify/"
    form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    shown = browser.post(
        page, files={"file": ("a.jpg", big)}, data=form, headers={"Referer": page}, timeout=30
    )
    assert shown.status_code == 503
    assert "could not be stored" in shown.text
    assert [path for path in small_disk.rglob("*") if path.is_file()] == [filler]
    for table in ("sample", "prediction"):
        assert installation.rows(f"SELECT COUNT(*) FROM predictions_{table}") == [(0,)]  # noqa: S608
    filler.unlink()
    assert installation.predict().status_code == 200


def test_a_locked_database_is_waited_for(install):
    """SQLite has one writer at a time: who comes second waits, up to twenty seconds."""
    installation: Installation = install()
    installation.start_web()
    assert installation.predict().status_code == 200
    other = sqlite3.connect(
        installation.folder / "classifr.sqlite3", isolation_level=None, check_same_thread=False
    )
    other.execute("BEGIN IMMEDIATE")
    let_go = threading.Timer(3, other.execute, ["COMMIT"])
    let_go.start()
    started = time.monotonic()
    assert installation.predict().status_code == 200
    assert time.monotonic() - started > 1, "it had to wait"
    let_go.join()
    other.close()
