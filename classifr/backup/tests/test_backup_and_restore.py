"""Backup and restore of this process's own database and storages."""

import gzip
import io
import json
from contextlib import suppress

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from classifr.backup import backup, database
from classifr.backup import restore as restoring
from classifr.backup.archive import new_archive, read_archive, verified_summary
from classifr.backup.backup import back_up
from classifr.backup.errors import BackupError
from classifr.backup.restore import restore
from classifr.backup.unfinished import mark_path
from common.models import Job
from predictions.models import Category, Project, Sample
from predictions.tests.factories import (
    make_feedback,
    make_live_model,
    make_prediction,
    make_project,
    make_sample,
)

pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "archive"


def make_site():
    project = make_project(slug="dishes", categories=["pizza"])
    make_live_model(project)
    prediction = make_prediction(project=project)
    make_feedback(prediction)
    return prediction.sample


def other_connection():
    """A connection to the database that a snapshot does not turn away from it."""
    return connection.Database.connect(**connection.get_connection_params())


def all_rows():
    with database.snapshot():
        return dict(database.dump())


def stored(alias):
    return {name: storages[alias].open(name).read() for name, _state in storages[alias].files()}


def test_a_backup_holds_the_files_the_rows_and_the_key(archive):
    sample = make_site()
    made = back_up(archive)
    parts = dict(read_archive(archive))
    assert parts[f"files/uploads/{sample.file_name}"] == sample.read()
    assert parts["secret_key"] == settings.SECRET_KEY.encode()
    assert gzip.decompress(parts["database/predictions.sample/000000.gz"]).count(b"\n") == 2
    assert verified_summary(archive)["files"] == made.files >= 1
    assert made.missing == []


def test_no_row_names_a_picture_that_was_deleted_before_its_copy(archive, monkeypatch):
    # Between the moment of the rows and the copy of the files: the worst time
    make_site()
    sample = make_sample(project=Project.objects.get())
    copied, times = backup._copy_files, []
    somebody_else = other_connection()

    def copy_late(archive):
        times.append(1)
        if len(times) == 1:
            return
        if len(times) == 2:
            nowhere = f"SET location = 'nowhere', file_name = '' WHERE id = {sample.pk}"
            somebody_else.cursor().execute(f"UPDATE predictions_sample {nowhere}")
            somebody_else.commit()
            sample.storage.delete(sample.file_name)
        copied(archive)

    monkeypatch.setattr(backup, "_copy_files", copy_late)
    assert back_up(archive).missing == []
    somebody_else.close()
    assert len(times) == 3  # the moment was taken anew
    rows = gzip.decompress(dict(read_archive(archive))["database/predictions.sample/000000.gz"])
    assert sample.file_name.encode() not in rows


def test_a_file_that_changes_after_its_copy_is_copied_again(archive, monkeypatch):
    make_site()
    storages["misclassified"].save_with_metadata("dishes/a.json", b"before", {})
    snapshot = database.snapshot

    def and_then_it_changes():
        storages["misclassified"].save_with_metadata("dishes/a.json", b"after", {})
        return snapshot()

    monkeypatch.setattr(database, "snapshot", and_then_it_changes)
    back_up(archive)
    assert dict(read_archive(archive))["files/misclassified/dishes/a.json"] == b"after"


def test_a_picture_that_the_site_lost_is_named(archive):
    sample = make_site()
    sample.storage.delete(sample.file_name)
    assert back_up(archive).missing == [f"uploads/{sample.file_name}"]


def test_a_site_is_not_overwritten_unless_it_is_said(archive):
    make_site()
    back_up(archive)
    before = all_rows()
    with pytest.raises(BackupError, match="--replace"):
        restore(archive)
    assert all_rows() == before
    assert not mark_path().exists()


def test_a_damaged_archive_changes_nothing(archive):
    sample = make_site()
    back_up(archive)
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    before = all_rows()
    with pytest.raises(BackupError, match="damaged"):
        restore(archive, replace=True)
    assert all_rows() == before
    assert sample.read()


def test_an_archive_of_a_newer_release_is_refused(archive):
    with new_archive(archive) as new:
        new.finish({"id": "1", "migrations": [["predictions", "9999_of_tomorrow"]]})
    with pytest.raises(BackupError, match=r"newer release \(predictions\.9999_of_tomorrow\)"):
        restore(archive, replace=True)


def test_the_command_needs_a_passphrase_to_encrypt(archive, settings):
    with pytest.raises(CommandError, match="BACKUP_PASSPHRASE"):
        call_command("backup", archive, "--encrypt")
    settings.BACKUP_PASSPHRASE = "a long one"
    call_command("backup", archive, "--encrypt", stdout=io.StringIO())
    assert b"secret_key" not in archive.read_bytes()
    assert verified_summary(archive, passphrase="a long one")


@pytest.mark.slow
def test_a_killed_restore_leaves_a_whole_site_and_the_next_one_finishes(archive, monkeypatch):
    sample = make_site()
    # Of a row that the sequences must not give out again
    Job.objects.create(kind="one", payload={"file_name": "é\n"})
    before, files = all_rows(), {alias: stored(alias) for alias in backup.STORAGES}
    back_up(archive)
    later = make_sample(project=sample.project)
    for step in ("_load", "_delete_others"):
        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(database if step == "_load" else restoring, step, _killed)
            restore(archive, replace=True)
        assert mark_path().exists()
        for one in Sample.objects.with_picture():
            assert one.read()
        assert Sample.objects.filter(pk=later.pk).exists() == (step == "_load")
    restore(archive)  # goes on, with no need to say --replace
    assert all_rows() == before
    assert {alias: stored(alias) for alias in backup.STORAGES} == files
    assert not mark_path().exists()
    assert Job.objects.create(kind="two").pk > Job.objects.get(kind="one").pk


def _killed(*args, **options):
    raise Killed


@pytest.mark.slow
def test_an_archive_of_an_earlier_release_is_brought_up_to_this_one(archive, tmp_path):
    make_site()
    back_up(archive)
    loader = MigrationLoader(connection)
    since = set(loader.graph.backwards_plan(("predictions", "0017_category_keys")))
    then = loader.project_state([one for one in loader.graph.nodes if one not in since]).apps
    summary = verified_summary(archive)
    summary["migrations"] = [one for one in summary["migrations"] if tuple(one) not in since]
    old = tmp_path / "old"
    with new_archive(old) as writer:
        for name, data in read_archive(archive):
            if name.startswith("database/"):
                model = then.get_model(name.split("/")[1])
                data = _with_columns([field.attname for field in model._meta.concrete_fields], data)
            if name.startswith(("database/", "files/", "secret_key")):
                writer.add(name, data)
        writer.finish({**summary, "parts": 0, "manifest_sha256": writer.parts.digest()})
    before = list(Category.objects.values_list("pk", "name"))
    restore(old, replace=True)
    assert list(Category.objects.values_list("pk", "name")) == before
    assert all(category.key for category in Category.objects.all())


def _with_columns(known, data):
    header, *rows = [json.loads(line) for line in gzip.decompress(data).splitlines()]
    kept = [at for at, column in enumerate(header) if column in known]
    lines = [json.dumps([row[at] for at in kept]).encode() for row in (header, *rows)]
    return gzip.compress(b"\n".join(lines) + b"\n")


def test_names_in_a_storage_are_all_listed_but_what_is_not_whole():
    storages["uploads"].save("dishes/a.jpg", ContentFile(b"a"))
    (settings.DATA_DIR / "uploads" / "dishes" / ".writing-x").write_bytes(b"half")
    assert [file.name for file in storages["uploads"].files()] == ["dishes/a.jpg"]
