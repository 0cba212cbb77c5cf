"""Backups of whole installations, real servers and processes, while people work."""

import signal
import subprocess
import sys
import time
from uuid import UUID

import pytest

from classifr.tests.faults.chaos import Ledger, People
from classifr.tests.faults.installation import Installation
from classifr.tests.faults.test_bad_storages import IN_AZURE
from classifr.tests.process_tree import ROOT, environment, manage
from scripts.services import wait_until

pytestmark = pytest.mark.outer

PASSPHRASE = {"BACKUP_PASSPHRASE": "a long one"}
PREDICTIONS = "SELECT uuid FROM predictions_prediction"
NOKS = (
    "SELECT uuid FROM predictions_prediction "
    "WHERE id IN (SELECT prediction_id FROM predictions_feedback)"
)
CHECK = """
from predictions.models import Sample
for sample in Sample.objects.with_picture():
    assert len(sample.read()) == sample.size_bytes
print("all", Sample.objects.count())
"""


def dumped(folder, **variables):
    script = (
        "from classifr.backup import database\n"
        "import gzip, hashlib, json\n"
        "with database.snapshot():\n"
        "    for name, rows in database.dump():\n"
        "        lines = [json.loads(line) for line in gzip.decompress(rows).splitlines()]\n"
        "        text = json.dumps(lines, sort_keys=True).encode()\n"
        "        print(name, hashlib.sha256(text).hexdigest())\n"
    )
    return manage(folder, "shell", "-v0", "-c", script, **variables)


def test_what_was_acknowledged_comes_back_from_postgresql_and_azure(
    tmp_path, postgres_server, azurite
):
    """And goes into SQLite and a disk, and back."""
    service = {
        "DATABASE_URL": postgres_server.fresh_database(),
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string,
        **IN_AZURE,
    }
    folder = tmp_path / "site"
    folder.mkdir()
    installation, ledger = Installation(folder, WEB_CONCURRENCY="1", **service), Ledger()
    archive = tmp_path / "archive"
    try:
        installation.prepare()
        installation.start_web()
        installation.start_worker()
        with People(installation, ledger):
            wait_until(lambda: len(ledger.noks) >= 10, "ten NOKs", timeout_seconds=120)
            before = set(ledger.predictions), set(ledger.noks)
            manage(folder, "backup", str(archive), "--encrypt", **service, **PASSPHRASE)
    finally:
        installation.close()

    other = tmp_path / "other"
    other.mkdir()
    manage(other, "restore", str(archive), **PASSPHRASE)
    restored = Installation(other)
    assert before[0] <= {str(UUID(uuid)) for (uuid,) in restored.rows(PREDICTIONS)}
    assert before[1] <= {str(UUID(uuid)) for (uuid,) in restored.rows(NOKS)}
    assert "all" in manage(other, "shell", "-v0", "-c", CHECK)

    again = tmp_path / "archive again"
    manage(other, "backup", str(again))
    third = {"DATABASE_URL": postgres_server.fresh_database()}
    for _twice in range(2):  # the second time in place of the first
        manage(tmp_path, "restore", str(again), "--replace", **third)
    assert dumped(tmp_path, **third) == dumped(other)
    assert "all" in manage(tmp_path, "shell", "-v0", "-c", CHECK, **third)


def test_a_restore_that_is_killed_at_any_time_is_finished_by_the_next(tmp_path):
    folder, archive = tmp_path / "site", tmp_path / "archive"
    folder.mkdir()
    Installation(folder).prepare()
    manage(folder, "backup", str(archive))
    before = dumped(folder)
    other = tmp_path / "other"
    other.mkdir()
    command = [sys.executable, "manage.py", "restore", str(archive)]
    for step in range(1, 4):
        process = subprocess.Popen(command, cwd=ROOT, env=environment(other))
        mark = other / "unfinished-restore"
        wait_until(mark.exists, "the restore", timeout_seconds=120)
        time.sleep(step)
        process.send_signal(signal.SIGKILL)
        process.wait()
    if (other / "unfinished-restore").exists():
        manage(other, "restore", str(archive))
    assert dumped(other) == before
