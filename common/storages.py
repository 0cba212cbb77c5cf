"""What a storage of ours promises, and the one on disk; those in the cloud are in `blob_storages`.

A file is there whole and durably, or not at all. `save_with_metadata(name, data, metadata)` is a
replaceable write that carries a few short facts beside the bytes. A storage that cannot do its work
raises OSError: FileNotFoundError for what is not there, StorageUnavailable where a service does not
answer, ENOSPC on a full disk. `files()` names all that is there, however much, in little memory.
"""

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage
from django.utils.deconstruct import deconstructible

from common.metrics import storage_errors

PARTIAL = ".writing-"  # how the name of a file begins that is not whole yet


class StoredFile(NamedTuple):
    """A file in a storage."""

    name: str
    state: str  # another one after each write


class StorageUnavailable(OSError):
    """The service that holds the files does not answer now, or refuses."""


@deconstructible(path="common.storages.DiskStorage")
class DiskStorage(FileSystemStorage):
    """Files on disk.

    Django's own class writes in place, so a full disk or a crash leaves a partial file under the
    final name.
    """

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return the name itself."""
        # That it is taken shows when it is written, with no need to look before.
        return name if max_length is None else super().get_available_name(name, max_length)

    def files(self) -> Iterator[StoredFile]:
        """Yield every whole file; what comes or goes meanwhile may be among them or not."""
        for folder, _folders, names in os.walk(self.location):
            for name in names:
                path = Path(folder, name)
                if name.startswith(PARTIAL):
                    continue
                try:
                    found = path.stat()
                except FileNotFoundError:
                    continue  # deleted meanwhile
                state = f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
                yield StoredFile(path.relative_to(self.location).as_posix(), state)

    def _save(self, name: str, content: File) -> str:
        content.seek(0)
        data = content.read()  # of bytes in memory no copy is made
        while True:
            try:
                self._write_whole(name, data, replace=False)
            except FileExistsError:
                name = super().get_available_name(name)
            else:
                return name

    def save_with_metadata(self, name: str, data: bytes, metadata: Mapping[str, str]) -> str:
        """Write or replace a file."""
        # A disk has no place for metadata: the JSON beside the picture holds the same.
        self._write_whole(name, data, replace=True)
        return name

    def _write_whole(self, name: str, data: bytes, *, replace: bool) -> None:
        """Write the bytes, then name them in one step; FileExistsError unless it may replace."""
        target = Path(self.path(name))
        try:
            self._write(target, data, replace=replace)
        except FileExistsError:
            raise
        except OSError:
            storage_errors.labels("disk").inc()
            raise

    def _write(self, target: Path, data: bytes, *, replace: bool) -> None:
        try:
            folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # A nameless file can only be given a name that is free.
            if replace or not _write_nameless(folder, target.name, data):
                _write_beside(target, data, replace=replace)
            os.fsync(folder)  # without this the bytes survive a power cut, but perhaps not the name
        finally:
            os.close(folder)


def _write_nameless(folder: int, name: str, data: bytes) -> bool:
    """Write a file that has no name before it is whole, so that not even a crash leaves a part.

    Source: open(2), O_TMPFILE.

    Returns:
        False if the system cannot do this, or the file system.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY, dir_fd=folder)
    except (AttributeError, OSError) as error:
        if getattr(error, "errno", None) in {None, errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}:
            return False
        raise
    with open(descriptor, "wb") as file:
        _fill(file, data)
        try:
            # By way of /proc: to name a descriptor itself needs a capability, CAP_DAC_READ_SEARCH.
            os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=folder, follow_symlinks=True)
        except FileNotFoundError:  # no /proc here
            return False
    return True


def _write_beside(target: Path, data: bytes, *, replace: bool) -> None:
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=PARTIAL)
    try:
        with open(handle, "wb") as file:
            _fill(file, data)
        if replace:
            os.replace(temporary, target)
        else:
            os.link(temporary, target)  # unlike a rename, it fails where the name is taken
    finally:
        Path(temporary).unlink(missing_ok=True)


def _fill(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    # `mkstemp` makes files for their owner alone; the group may read ours.
    os.fchmod(file.fileno(), 0o640)
    os.fsync(file.fileno())
