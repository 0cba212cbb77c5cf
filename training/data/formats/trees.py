"""The files of a data set that somebody has: in a folder, in a ZIP archive, or one file alone.

All of them are hostile until they are read. Nothing is ever unpacked to a disk, links are not
followed, and of each file no more is read than its reader asks for.
"""

import os
import stat
import struct
import threading
import unicodedata
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO

from django.utils.translation import gettext as _

from common.errors import InvalidInput
from predictions import uploads

MAX_FILES = 500_000
MAX_PATH = 1_000
MAX_DIRECTORY_BYTES = 200 * MAX_FILES  # of an archive, which is read as a whole
MAX_RATIO = 200  # pictures hardly shrink; what shrinks more is made to fill a disk
RATIO_FROM_BYTES = 200_000_000
_END, _END_BYTES = b"PK\x05\x06", 22
_END_64, _LOCATOR_64 = b"PK\x06\x06", b"PK\x06\x07"
_IN_MACOS_ARCHIVES = "__MACOSX"


@dataclass(frozen=True)
class TreeFile:
    """One file: its path with "/" between folders, and its name fit for a page."""

    path: str
    read: Callable[[int], bytes]
    size: int = 0

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.path.split("/"))

    @property
    def shown(self) -> str:
        return "/".join(shown_name(part) for part in self.parts)

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix.casefold()


class FileTree(ABC):
    """The files of a data set in their order; hidden ones are left out.

    `problems` are names of what cannot be read, and why; `is_archive`: whoever made it had no say
    in how it is wrapped.
    """

    title: str
    is_archive = False
    files: list[TreeFile]
    problems: list[tuple[str, str]]
    empty_folders: list[str]

    @abstractmethod
    def open(self, file: TreeFile) -> IO[bytes]:
        """Return the content of a file, to be read from its start; it may not be sought in."""

    def at(self, path: str) -> TreeFile | None:
        """Return the file of a path, however its letters are composed."""
        return self._by_path.get(_composed(path))

    def resolve(self, reference: str, *folders: str) -> TreeFile | None:
        """Return the file that a table means: in one of the folders, or the only one of its name.

        The reference may be an address or a path of another machine: what follows its last folders
        counts as far as it is there.
        """
        plain = reference.replace("\\", "/").strip()
        for folder in (*folders, ""):
            if found := self.at(str(PurePosixPath(folder) / plain.lstrip("/"))):
                return found
        name = _composed(plain.rsplit("/", 1)[-1])
        candidates = self._by_name.get(name, [])
        return candidates[0] if len(candidates) == 1 else None

    @cached_property
    def _by_path(self) -> dict[str, TreeFile]:
        found: dict[str, TreeFile] = {}
        for file in self.files:
            found.setdefault(_composed(file.path), file)
        return found

    @cached_property
    def _by_name(self) -> dict[str, list[TreeFile]]:
        found: dict[str, list[TreeFile]] = {}
        for file in self.files:
            found.setdefault(_composed(file.parts[-1]), []).append(file)
        return found


class FolderTree(FileTree):
    """A folder on this machine. Raises InvalidInput if it cannot be read."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.title = str(root)
        self.files, self.problems, self.empty_folders = [], [], []
        for entry in _entries(self.root):
            self._add(entry, "")

    def _add(self, entry: os.DirEntry[str], above: str) -> bool:
        """Take up one entry with what is below; say whether there was anything."""
        path = f"{above}{entry.name}"
        if entry.is_symlink():
            shown = "/".join(map(shown_name, path.split("/")))
            self.problems.append((shown, _("A link, which is not followed.")))
            return True
        if entry.is_dir(follow_symlinks=False):
            found = [self._add(each, f"{path}/") for each in _entries(Path(entry.path))]
            if not any(found) and not above:
                self.empty_folders.append(shown_name(entry.name))
            return any(found)
        if entry.is_file(follow_symlinks=False):
            if len(self.files) == MAX_FILES:
                raise _too_many()
            self.files.append(TreeFile(path, file_reader(entry.path), entry.stat().st_size))
            return True
        return False

    def open(self, file: TreeFile) -> IO[bytes]:
        return _opened(str(self.root / file.path))


class SingleFile(FileTree):
    """One file alone, such as a table of texts or Parquet."""

    def __init__(self, name: str, opener: Callable[[], IO[bytes]]) -> None:
        self.title = shown_name(name)
        self._opener = opener

        def read(limit: int) -> bytes:
            with opener() as file:
                return file.read(limit)

        # Within the tree it has no folder, whatever it was called
        self.files = [TreeFile(self.title or "file", read)]
        self.problems, self.empty_folders = [], []

    def open(self, file: TreeFile) -> IO[bytes]:
        return self._opener()


class ZipTree(FileTree):
    """A ZIP archive, whose directory is checked before anything in it is read.

    Raises:
        InvalidInput: it is no archive, or one that is made to fill a memory or a disk.
    """

    is_archive = True

    def __init__(self, title: str, file: IO[bytes]) -> None:
        self.title = title
        self.files, self.problems, self.empty_folders = [], [], []
        # Several threads read pictures, and the archive has one position
        self._turn = threading.Lock()
        length = _check_directory(file)
        with _damage_is_told():
            self._archive = zipfile.ZipFile(file)
        self._infos: dict[str, zipfile.ZipInfo] = {}
        infos = [each for each in self._archive.infolist() if not each.is_dir()]
        unpacked = sum(each.file_size for each in infos)
        if unpacked > max(RATIO_FROM_BYTES, MAX_RATIO * length):
            raise InvalidInput(
                _("Unpacked, the archive would be more than %(ratio)d times as large. Not taken.")
                % {"ratio": MAX_RATIO},
                code="too_large",
            )
        for info in infos:
            self._add(info)

    def _add(self, info: zipfile.ZipInfo) -> None:
        parts = info.orig_filename.split("/")
        is_hidden = any(part.startswith(".") and part.strip(".") for part in parts)
        if parts[0] == _IN_MACOS_ARCHIVES or is_hidden:
            return
        if problem := self._problem(info, parts):
            shown = "/".join(shown_name(part) for part in parts)[:MAX_PATH]
            self.problems.append((shown, problem))
            return
        self._infos[info.filename] = info
        self.files.append(TreeFile(info.filename, self._reader(info), info.file_size))

    def _problem(self, info: zipfile.ZipInfo, parts: list[str]) -> str:
        mode = info.external_attr >> 16
        if "\0" in info.orig_filename or "\\" in info.orig_filename:
            return _("Its name has characters that no file has.")
        if info.filename.startswith("/") or ".." in parts or "" in parts or "." in parts:
            return _("Its path leads out of the archive.")
        if len(info.filename) > MAX_PATH:
            return _("Its name is too long.")
        if stat.S_ISLNK(mode):
            return _("A link, which is not followed.")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            return _("It is no file.")
        if info.flag_bits & 0x1:
            return _("It is encrypted.")
        if info.filename in self._infos:
            return _("Another file in the archive has the same name.")
        return ""

    def _reader(self, info: zipfile.ZipInfo) -> Callable[[int], bytes]:
        def read(limit: int) -> bytes:
            with self._turn, _damage_is_told(), self._archive.open(info) as file:
                return file.read(limit)

        return read

    def open(self, file: TreeFile) -> IO[bytes]:
        with _damage_is_told():
            return _ArchiveFile(self._archive.open(self._infos[file.path]))  # type: ignore[return-value]


class _ArchiveFile:
    """A file of an archive, read from its start to its end; damage on the way is one sentence."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        with _damage_is_told():
            return self._file.read(size)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "_ArchiveFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class WithLabels(FileTree):
    """A tree, and beside it a table or a JSON file that says what its files show."""

    def __init__(self, tree: FileTree, name: str, opener: Callable[[], IO[bytes]]) -> None:
        single = SingleFile(name, opener)
        self.title, self.is_archive = tree.title, tree.is_archive
        self.problems, self.empty_folders = tree.problems, tree.empty_folders
        self.labels = single.files[0]
        # One of the same name within is another file
        others = [file for file in tree.files if file.path != self.labels.path]
        self.files = [self.labels, *others]
        self._tree, self._single = tree, single

    def open(self, file: TreeFile) -> IO[bytes]:
        return (self._single if file is self.labels else self._tree).open(file)


class Within(FileTree):
    """What is below one folder of a tree."""

    def __init__(self, tree: FileTree, folder: str) -> None:
        self.title, self.is_archive = tree.title, tree.is_archive
        self.problems, self.empty_folders = tree.problems, []
        self._tree, self._length = tree, len(folder) + 1
        self._folder = folder
        self.files = [
            replace(file, path=file.path[self._length :])
            for file in tree.files
            if file.path.startswith(f"{folder}/")
        ]

    def open(self, file: TreeFile) -> IO[bytes]:
        return self._tree.open(replace(file, path=f"{self._folder}/{file.path}"))


def shown_name(name: str) -> str:
    """Return a file's name fit for a terminal and a page, whatever bytes the disk holds."""
    return uploads.display_name(name.encode("utf-8", "replace").decode())


def file_reader(path: str) -> Callable[[int], bytes]:
    """Return what reads the first bytes of a file on this machine."""

    def read(limit: int) -> bytes:
        with _opened(path) as file:
            return file.read(limit)

    return read


def _opened(path: str) -> IO[bytes]:
    # The file may have become a link since the folder was listed
    return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder by name, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (entry for entry in entries if not entry.name.startswith(".")),
                key=lambda each: each.name,
            )
    except OSError as error:
        sentence = _("The folder %(folder)s cannot be read: %(reason)s.")
        raise InvalidInput(
            sentence % {"folder": folder, "reason": error.strerror or error}
        ) from error


def _composed(path: str) -> str:
    """Return a path as tables and archives both may write it: macOS takes letters apart."""
    return unicodedata.normalize("NFC", str(PurePosixPath(path)))


def _check_directory(file: IO[bytes]) -> int:
    """Return the length of an archive whose directory is no larger than may be read at once."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - _END_BYTES - 0xFFFF - 20 - 56))
    tail = file.read()
    place = tail.rfind(_END)
    if place < 0 or len(tail) < place + _END_BYTES:
        raise _no_archive()
    count, size = struct.unpack("<10xHL", tail[place : place + 16])
    if tail.rfind(_LOCATOR_64, 0, place) >= 0 and (end := tail.rfind(_END_64, 0, place)) >= 0:
        fields = tail[end + 32 : end + 48]
        count, size = struct.unpack("<QQ", fields) if len(fields) == 16 else (MAX_FILES + 1, 0)
    file.seek(0)
    if count > MAX_FILES or size > MAX_DIRECTORY_BYTES:
        raise _too_many()
    return length


@contextmanager
def _damage_is_told() -> Iterator[None]:
    """Whatever a damaged archive breaks in its reader is one sentence."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise _no_archive() from error
    except (OSError, RuntimeError, ValueError, struct.error) as error:
        raise _no_archive() from error
    except Exception as error:
        # The other decompressors raise errors of their own
        if type(error).__module__.lstrip("_") in ("lzma", "bz2"):
            raise _no_archive() from error
        raise


def _no_archive() -> InvalidInput:
    return InvalidInput(_("This is no ZIP archive, or it is damaged."))


def _too_many() -> InvalidInput:
    return InvalidInput(
        _("The data set has more than %(limit)d files. Import it in parts.") % {"limit": MAX_FILES},
        code="too_large",
    )
