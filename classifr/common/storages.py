"""What a storage of ours promises, and the one on disk; those in the cloud are in `blob_storages`.

A file is there whole and durably, or not at all. `save_with_metadata(name, data, metadata)` is a replaceable write that
carries a few short facts beside the bytes. A storage that cannot do its work raises OSError: FileNotFoundError for what
is not there, StorageUnavailable where a service does not answer, ENOSPC on a full disk.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage
from django.utils.deconstruct import deconstructible


class StorageUnavailable(OSError):
    """The service that holds the files does not answer now, or refuses."""


@deconstructible(path="classifr.common.storages.DiskStorage")
class DiskStorage(FileSystemStorage):
    """Files on disk.

    Django's own class writes in place, so a full disk or a crash leaves a partial file under the final name.
    """

    def _save(self, name: str, content: File) -> str:
        content.seek(0)
        data = content.read()  # of bytes in memory no copy is made
        while True:
            try:
                self._write_whole(name, data, replace=False)
            except FileExistsError:
                # Taken since `save` looked
                name = self.get_available_name(name)
            else:
                return name

    def save_with_metadata(self, name: str, data: bytes, metadata: Mapping[str, str]) -> str:
        """Write or replace a file. A disk has no place for metadata: the JSON beside the picture holds the same."""
        self._write_whole(name, data, replace=True)
        return name

    def _write_whole(self, name: str, data: bytes, *, replace: bool) -> None:
        """Write beside the target, then move there in one step; raises FileExistsError unless it may replace."""
        target = Path(self.path(name))
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o640)
            if replace:
                os.replace(temporary, target)
            else:
                os.link(temporary, target)
            _sync_folder(target.parent)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a new name durable: without this the bytes survive a power cut, but perhaps not the name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
