"""The steps for backup and restore in docs/deployment.md, carried out as they stand there."""

import os
import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.conf import settings

DOCUMENT = Path(settings.BASE_DIR) / "docs" / "deployment.md"


def steps(heading: str) -> str:
    """Return the commands below a heading: the lines that are indented as code."""
    section = re.split(
        r"^#+ ", DOCUMENT.read_text().split(f"### {heading}\n")[1], flags=re.MULTILINE
    )[0]
    lines = re.findall(r"^(?: {4}| {8})(?=\S)(?!\d)(.+)$", section, re.MULTILINE)
    assert lines, heading
    return "\n".join(lines)


def carry_out(heading: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", steps(heading)]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Site:
    """A database written all the time, with a write-ahead log that no checkpoint empties."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "var"
        (self.folder / "uploads" / "dishes").mkdir(parents=True)
        (self.folder / "uploads" / "dishes" / "a.jpg").write_bytes(b"a picture")
        (self.folder / "secret_key").write_text("secret")
        self.acknowledged = 0
        self._ends, self._has_written = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> "Site":
        self._thread.start()
        assert self._has_written.wait(timeout=60)
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.set()
        self._thread.join(timeout=60)

    def _write(self) -> None:
        connection = sqlite3.connect(
            self.folder / "classifr.sqlite3", isolation_level=None, timeout=60
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE ruling (id INTEGER PRIMARY KEY, said TEXT)")
        while not self._ends.is_set():
            connection.execute("INSERT INTO ruling (said) VALUES (?)", ["x" * 3000])
            self.acknowledged += 1
            if self.acknowledged == 200:
                self._has_written.set()
            if self.acknowledged >= 200:
                self._ends.wait(0.001)
        connection.close()


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path) as site:
        yield site


def rulings(folder: Path) -> int:
    connection = sqlite3.connect(folder / "classifr.sqlite3")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (count,) = connection.execute("SELECT COUNT(*) FROM ruling").fetchone()
    connection.close()
    return count


def test_what_was_acknowledged_before_the_backup_is_there_after_the_restore(site, tmp_path):
    before = site.acknowledged
    carry_out("Backing up an embedded installation", tmp_path)
    (site.folder / "uploads" / "dishes" / "a.jpg").unlink()
    site.__exit__()
    # What a dead process leaves behind: a database that is destroyed, and a log that would be
    # played into the copy
    (site.folder / "classifr.sqlite3").write_bytes(bytes(4096))
    (site.folder / "classifr.sqlite3-wal").write_bytes(b"7" * 9000)
    (site.folder / "classifr.sqlite3-shm").write_bytes(b"7" * 32768)
    assert carry_out("Restoring an embedded installation", tmp_path).split() == ["ok"]
    assert before <= rulings(site.folder) <= site.acknowledged
    assert (site.folder / "uploads" / "dishes" / "a.jpg").read_bytes() == b"a picture"
    assert (site.folder / "secret_key").read_text() == "secret"


def test_it_is_restored_onto_a_machine_that_has_nothing_yet(site, tmp_path):
    carry_out("Backing up an embedded installation", tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "backup").rename(other / "backup")
    assert carry_out("Restoring an embedded installation", other).split() == ["ok"]
    assert rulings(other / "var") >= 200


def listed(folder: Path, archive: str) -> str:
    command = ["tar", "--list", "--file", f"backup/{archive}.tar"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def test_neither_the_live_database_nor_its_log_is_in_the_copy_of_the_storages(site, tmp_path):
    carry_out("Backing up an embedded installation", tmp_path)
    assert "classifr.sqlite3" not in listed(tmp_path, "storages")
    assert "secret_key" in listed(tmp_path, "storages")
    assert "uploads/dishes/a.jpg" in listed(tmp_path, "uploads")


def test_uploads_are_copied_before_what_their_pictures_move_to():
    # The other way round a picture that moves in between would be in neither copy
    commands = steps("Backing up an embedded installation")
    assert commands.index("uploads.tar") < commands.index("storages.tar")
