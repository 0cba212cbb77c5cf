"""The archive: a tar of parts, and at its end a manifest with the digest of each of them.

    files/<storage>/<name>           a file as it is; the later of two of one name counts
    database/<model>/<number>.gz     rows, JSON Lines
    secret_key                       the key of sessions and sealed secrets
    manifest/<number>                parts with their lengths and SHA-256, JSON Lines
    summary.json                     what the archive is, and the SHA-256 of the whole manifest

Written and read in one direction, a part at a time: memory holds one file, never the archive. What
ends without `summary.json` is no archive.
"""

import hashlib
import io
import json
import os
import sqlite3
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from classifr.backup.encrypted_stream import (
    DAMAGED,
    MAGIC,
    DecryptingReader,
    EncryptingWriter,
)
from classifr.backup.errors import BackupError

FORMAT = 1
SUMMARY = "summary.json"
MANIFEST = "manifest/"
LINES_PER_PART = 20_000


class Parts:
    """Which parts an archive has, with lengths, digests and states: a table on disk, not memory."""

    def __init__(self) -> None:
        self._table = sqlite3.connect("", isolation_level=None)  # a temporary file of SQLite's
        self._table.execute(
            "CREATE TABLE part (name TEXT PRIMARY KEY, size INT, digest TEXT, state TEXT)"
        )

    def close(self) -> None:
        self._table.close()

    def put(self, name: str, data: bytes, state: str = "") -> None:
        self._table.execute(
            "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?)",
            [name, len(data), hashlib.sha256(data).hexdigest(), state],
        )

    def state(self, name: str) -> str | None:
        """Return the state that a part was put with; None if there is no such part."""
        row = self._table.execute("SELECT state FROM part WHERE name = ?", [name]).fetchone()
        return row and row[0]

    def manifest(self) -> Iterator[bytes]:
        """Yield the lines of the manifest, in the order of the names, some at a time."""
        rows = self._table.execute("SELECT name, size, digest FROM part ORDER BY name")
        while some := rows.fetchmany(LINES_PER_PART):
            yield b"".join(json.dumps(row).encode() + b"\n" for row in some)

    def digest(self) -> str:
        digest = hashlib.sha256()
        for lines in self.manifest():
            digest.update(lines)
        return digest.hexdigest()

    def count(self) -> int:
        return int(self._table.execute("SELECT COUNT(*) FROM part").fetchone()[0])


def _forget_entries(tar: Any) -> None:
    tar.members.clear()  # where it keeps every entry that went through


class ArchiveWriter:
    """An archive that is being written, see `new_archive`."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.parts = Parts()

    def add(self, name: str, data: bytes, *, state: str = "") -> None:
        self._write(name, data)
        self.parts.put(name, data, state)

    def finish(self, facts: dict[str, Any]) -> None:
        for number, lines in enumerate(self.parts.manifest()):
            self._write(f"{MANIFEST}{number:06}", lines)
        summary = {
            "format": FORMAT,
            "parts": self.parts.count(),
            "manifest_sha256": self.parts.digest(),
            **facts,
        }
        self._write(SUMMARY, json.dumps(summary, indent=1).encode())

    def _write(self, name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(data), 0o600
        self._tar.addfile(entry, io.BytesIO(data))
        _forget_entries(self._tar)


@contextmanager
def new_archive(path: Path, *, passphrase: str = "") -> Iterator[ArchiveWriter]:
    """Write an archive, encrypted if there is a passphrase; it has its name once it is whole."""
    if path.exists():
        raise BackupError(f"{path} is there already. Choose another name, or delete it first.")
    partial = path.with_name(f"{path.name}.partial")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            encrypting = EncryptingWriter(file, passphrase) if passphrase else None
            target = cast(BinaryIO, encrypting or file)
            with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                archive = ArchiveWriter(tar)
                with closing(archive.parts):
                    yield archive
            if encrypting:
                encrypting.finish()
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def read_archive(path: Path, *, passphrase: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield every part in the order in which it was written. Raises BackupError if damaged."""
    try:
        with open(path, "rb") as file:
            stream = _decrypted(file, passphrase)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for entry in tar:
                    _forget_entries(tar)
                    content = tar.extractfile(entry)
                    if content is None:
                        raise BackupError(DAMAGED)
                    yield entry.name, content.read()
    except FileNotFoundError:
        raise BackupError(f"There is no file {path}.") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise BackupError(DAMAGED) from error


def _decrypted(file: BinaryIO, passphrase: str) -> BinaryIO:
    if file.read(len(MAGIC)) != MAGIC:
        file.seek(0)
        return file
    if not passphrase:
        raise BackupError("The archive is encrypted: set BACKUP_PASSPHRASE.")
    return io.BufferedReader(DecryptingReader(file, passphrase), buffer_size=1 << 16)


def verified_summary(path: Path, *, passphrase: str = "") -> dict[str, Any]:
    """Read the whole archive, compare each part with the manifest, and return its summary."""
    summary: dict[str, Any] | None = None
    written = hashlib.sha256()
    with closing(Parts()) as parts:
        for name, data in read_archive(path, passphrase=passphrase):
            if name.startswith(MANIFEST):
                written.update(data)
            elif name == SUMMARY:
                summary = json.loads(data)
            else:
                parts.put(name, data)
        if summary is None:
            raise BackupError(DAMAGED)
        if summary.get("format") != FORMAT:
            raise BackupError(
                f"The archive has the format {summary.get('format')}, and this release reads "
                f"{FORMAT}. Use the release that made it."
            )
        if not summary["manifest_sha256"] == written.hexdigest() == parts.digest():
            raise BackupError(DAMAGED)
    return summary
