"""Takes a backup while people work: nothing acknowledged before it is missing.

Files come first, which takes long, then the database as of one moment, then the files that came or
changed until after that moment. A row loses its file's name before the file is deleted
(`predictions.retention`), and names a new place once the file is there (`predictions.outbox`). So a
file that the rows of that moment name, and that is not in the archive, was deleted a moment before
it was copied, and the rows of a later moment do not name it: the moment is taken anew until all
rows have their files. Workers need not wait, and no sign is left behind by a backup that dies.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.files.storage import storages
from django.utils import timezone

from classifr.backup import database
from classifr.backup.archive import ArchiveWriter, new_archive
from customvision.models import Export
from predictions.models import ModelVersion, Sample
from predictions.predictors.local.bundles import MANIFEST, REFERENCE

logger = logging.getLogger(__name__)

STORAGES = ("uploads", "misclassified", "models")
MOMENTS = 5  # after so many, a file is lost in the site itself


@dataclass(frozen=True)
class Backup:
    """What an archive holds."""

    files: int
    missing: list[str]  # named by rows, and not in the storages of the site either


def back_up(path: Path, *, passphrase: str = "") -> Backup:
    """Write an archive of everything. Raises BackupError, or OSError if a storage is away."""
    with new_archive(path, passphrase=passphrase) as archive:
        _copy_files(archive)
        for attempt in range(1, MOMENTS + 1):
            with database.snapshot():
                taken_at = timezone.now()
                _copy_files(archive)
                missing = list(_missing(archive))
                if missing and attempt < MOMENTS:
                    continue
                files = archive.parts.count()
                applied = database.migrations()
                for name, rows in database.dump():
                    archive.add(f"database/{name}", rows)
                break
        archive.add("secret_key", settings.SECRET_KEY.encode())
        facts: dict[str, Any] = {
            "id": str(uuid4()),
            "taken_at": taken_at.isoformat(),
            "files": files,
            "missing": missing,
            "migrations": applied,
        }
        archive.finish(facts)
    return Backup(files=files, missing=missing)


def _copy_files(archive: ArchiveWriter) -> None:
    """Add every file that is not in the archive as it is now."""
    for alias in STORAGES:
        storage: Any = storages[alias]
        for name, state in storage.files():
            part = f"files/{alias}/{name}"
            if archive.parts.state(part) == state:
                continue
            try:
                with storage.open(name) as file:
                    archive.add(part, file.read(), state=state)
            except FileNotFoundError:
                continue  # deleted meanwhile


def _missing(archive: ArchiveWriter) -> Iterator[str]:
    for name in _named():
        if archive.parts.state(f"files/{name}") is None:
            yield name


def _named() -> Iterator[str]:
    """Yield the files that rows name, each with its storage in front."""
    pictures = Sample.objects.with_picture().values_list("location", "file_name")
    for location, name in pictures.iterator():
        if location in STORAGES:
            yield f"{location}/{name}"
    exports = Export.objects.exclude(file_name="").values_list("file_name", flat=True)
    yield from (f"models/{name}" for name in exports.iterator())
    references = ModelVersion.objects.values_list("reference", flat=True)
    for reference in references.iterator():
        if REFERENCE.fullmatch(reference):  # a bundle, whose manifest is written last
            yield f"models/{reference}/{MANIFEST}"
