"""Brings an archive back: verified first, then the files, the database in one step, the rest.

Until the database is replaced, the old rows find all their files; after it, the new ones do. What
is killed in between is finished by the same command again, for which a mark stays in the data
folder.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import storages

from classifr.backup import database
from classifr.backup.archive import Parts, read_archive, verified_summary
from classifr.backup.backup import STORAGES
from classifr.backup.errors import BackupError
from classifr.backup.unfinished import mark_path


@dataclass(frozen=True)
class Restored:
    """What was brought back."""

    files: int
    taken_at: str
    missing: list[str]
    other_secret_key: bool  # this installation uses another one than the archive's


def restore(path: Path, *, passphrase: str = "", replace: bool = False) -> Restored:
    """Make the site what the archive says.

    Raises:
        BackupError: the archive is damaged or too new, or the site is not empty; nothing changed.
    """
    summary = verified_summary(path, passphrase=passphrase)
    database.refuse_newer(summary["migrations"])
    mark = mark_path()
    is_continued = mark.exists() and mark.read_text() == summary["id"]
    if not (replace or is_continued or _is_empty()):
        raise BackupError(
            "There is a site here already. Stop it, and add --replace to have the archive take its "
            "place: all that is not in the archive is deleted."
        )
    _write(mark, summary["id"])
    kept = Parts()
    files = 0
    key = b""
    for name, data in read_archive(path, passphrase=passphrase):
        folder, _slash, rest = name.partition("/")
        if folder == "files":
            alias, _slash, file_name = rest.partition("/")
            storage: Any = storages[_known(alias)]
            storage.save_with_metadata(file_name, data, {})
            files += kept.state(name) is None
            kept.put(name, b"")
        elif name == "secret_key":
            key = data
    database.replace(summary["migrations"], _rows(path, passphrase))
    _write(settings.DATA_DIR / "secret_key", key.decode())
    for alias in STORAGES:
        _delete_others(alias, kept)
    kept.close()
    mark.unlink()
    return Restored(
        files=files,
        taken_at=summary["taken_at"],
        missing=summary["missing"],
        other_secret_key=_has_key_of_its_own() and key.decode() != settings.SECRET_KEY,
    )


def _rows(path: Path, passphrase: str) -> Iterator[tuple[str, bytes]]:
    for name, data in read_archive(path, passphrase=passphrase):
        if name.startswith("database/"):
            yield name.removeprefix("database/"), data


def _known(alias: str) -> str:
    if alias not in STORAGES:
        raise BackupError(f"The archive has files of a storage that is unknown here: {alias}")
    return alias


def _is_empty() -> bool:
    return database.is_empty() and not any(True for alias in STORAGES for _file in _files(alias))


def _files(alias: str) -> Iterator[str]:
    storage: Any = storages[alias]
    for name, _state in storage.files():
        yield name


def _delete_others(alias: str, kept: Parts) -> None:
    for name in _files(alias):
        if kept.state(f"files/{alias}/{name}") is None:
            storages[alias].delete(name)


def _has_key_of_its_own() -> bool:
    return bool(os.environ.get("SECRET_KEY") or os.environ.get("SECRET_KEY_FILE"))


def _write(path: Path, text: str) -> None:
    """Write a file for its owner alone, whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
