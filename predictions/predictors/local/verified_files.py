"""Files of a storage as verified files on this machine's disk: engines map files, not blobs."""

import hashlib
import os
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.files.storage import FileSystemStorage, Storage


class DigestMismatch(Exception):
    """A file's content does not have the digest that it should have."""


def verified_path(storage: Storage, name: str, sha256: str) -> Path:
    """Return a local path whose content has this SHA-256.

    A storage on disk is read where it is. Of a remote one a copy is kept under
    `DATA_DIR/cache/models`, named by its digest; a copy that was damaged is fetched again.

    Raises:
        FileNotFoundError: the storage has no such file.
        DigestMismatch: what the storage has is something else.
    """
    if isinstance(storage, FileSystemStorage):
        path = Path(storage.path(name))
        if file_sha256(path) != sha256:
            raise DigestMismatch(name)
        return path
    path = cache_directory("models") / f"{sha256}{Path(name).suffix}"
    if path.exists() and file_sha256(path) == sha256:
        return path
    # Not every storage raises FileNotFoundError for what is not there.
    if not storage.exists(name):
        raise FileNotFoundError(name)
    with storage.open(name) as file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DigestMismatch(name)
    return write_atomically(path, data)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_directory(kind: str) -> Path:
    """Return the folder for one kind of copies that may be deleted at any time."""
    folder = Path(settings.DATA_DIR) / "cache" / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_atomically(path: Path, data: bytes) -> Path:
    """Write a file that other processes see whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
