"""Reads the archive of an export: one model, its labels, and what it says of pictures.

The archive is hostile until it is read: its directory is checked before anything is unpacked, only
the few files that are needed are, each up to a limit, and nothing is written to a disk. The layout
is that of Custom Vision's exports (`cvexport.manifest`, `labels.txt`, `metadata_properties.json`
and the model, at the top or in `app/`), and of Classifr's own.
"""

import hashlib
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

from django.utils.translation import gettext as _

from common import json_bodies
from customvision.exported.engines import ONNX, TFLITE
from customvision.exported.refusals import CannotImport
from predictions import categories
from predictions.predictors.local import preprocessing

MAX_ARCHIVE_BYTES = 200_000_000
MAX_MODEL_BYTES = 200_000_000
MAX_UNPACKED_BYTES = 400_000_000
MAX_TEXT_BYTES = 128 * 1024
MAX_ENTRIES = 500
MAX_RATIO = 200  # weights hardly shrink; what shrinks more is made to fill memory
RATIO_FROM_BYTES = 1_000_000
MAX_LABELS = 500  # tags of a project, see the limits of Custom Vision
LABELS, MANIFEST, PROPERTIES = "labels.txt", "cvexport.manifest", "metadata_properties.json"

FROZEN = "frozen"  # a TensorFlow graph, which is converted before anything else is done with it
_KINDS = {".tflite": TFLITE, ".onnx": ONNX, ".pb": FROZEN}
_SAVED_MODEL = "saved_model.pb"
_ELSEWHERE = (".mlmodel", ".h5", ".keras", ".xml", ".pt")


@dataclass(frozen=True)
class ExportedModel:
    """What an archive holds. `properties` are the members of its metadata_properties.json."""

    kind: str  # of `engines`, or FROZEN
    model: bytes
    labels: tuple[str, ...]
    properties: dict[str, str]
    manifest: dict[str, str]

    @property
    def is_own(self) -> bool:
        """Say whether Classifr exported it, with its own preparation of pictures."""
        return self.manifest.get("Preprocessing") == preprocessing.NAME


def check_directory(file: IO[bytes]) -> None:
    """Check what an archive says of its content, without unpacking any. Raises CannotImport."""
    with _opened(file) as archive:
        _model_entry(_entries(archive))


def read_archive(file: IO[bytes]) -> ExportedModel:
    """Return the model of an archive and what belongs to it; the model itself is not checked.

    Raises:
        CannotImport: with a sentence that says what is wrong.
    """
    with _opened(file) as archive:
        entries = _entries(archive)
        entry = _model_entry(entries)
        folder = PurePosixPath(entry.filename).parent
        manifest = _members(archive, _beside(entries, folder, MANIFEST))
        if manifest.get("DomainType", "Classification") != "Classification":
            raise CannotImport(
                _("This is a model for object detection. Classifr takes models that classify.")
            )
        properties = _members(archive, _beside(entries, folder, PROPERTIES))
        labels = _beside(entries, folder, LABELS)
        if labels is None:
            raise CannotImport(_("The archive has no labels.txt beside its model."))
        names = _labels(_content(archive, labels, MAX_TEXT_BYTES))
        model = _content(archive, entry, MAX_MODEL_BYTES)
    # Of the service's own manifest: it tells a download that was cut or mixed up, not an attack
    said = manifest.get("ModelFileSHA1", "").lower()
    if said and said != hashlib.sha1(model, usedforsecurity=False).hexdigest():
        raise CannotImport(
            _("The model is not the one that the archive was made with: its digest differs.")
        )
    kind = _KINDS[PurePosixPath(entry.filename).suffix.lower()]
    return ExportedModel(kind, model, names, properties, manifest)


def archive_too_large() -> CannotImport:
    return CannotImport(
        _("The archive is larger than %(megabytes)d MB.")
        % {"megabytes": MAX_ARCHIVE_BYTES // 1_000_000},
        code="too_large",
    )


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Open an archive; whatever it breaks in the reader is refused."""
    file.seek(0, 2)
    if file.tell() > MAX_ARCHIVE_BYTES:
        raise archive_too_large()
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except CannotImport:
        raise
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        raise _damaged() from error
    except (RuntimeError, OSError, zipfile.LargeZipFile) as error:
        raise _damaged() from error
    except Exception as error:
        # The decompressors raise errors of their own (zlib.error, lzma.LZMAError)
        if type(error).__module__ in ("zlib", "_lzma", "lzma", "_bz2", "struct"):
            raise _damaged() from error
        raise


def _entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the files of an archive, its directory being checked. Raises CannotImport."""
    entries = [each for each in archive.infolist() if not each.is_dir()]
    if len(archive.infolist()) > MAX_ENTRIES:
        raise CannotImport(_("The archive has too many files to be an export of a model."))
    names = [entry.filename for entry in entries]
    if len({name.lower() for name in names}) != len(names) or not all(map(_is_plain, names)):
        raise CannotImport(_("The archive has file names that no export has. It is not taken."))
    for entry in entries:
        mode = entry.external_attr >> 16
        if entry.flag_bits & 0x1 or (mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode)):
            raise CannotImport(_("The archive has encrypted files or links. It is not taken."))
        grows = entry.file_size > MAX_RATIO * max(1, entry.compress_size)
        if entry.file_size > RATIO_FROM_BYTES and grows:
            raise _too_large()
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise _too_large()
    return entries


def _is_plain(name: str) -> bool:
    path = PurePosixPath(name)
    return not (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or ":" in name
        or not name.isprintable()
        or len(name) > 300
    )


def _model_entry(entries: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    """Return the one model of an archive. Raises CannotImport."""
    by_kind = [
        each
        for each in entries
        if PurePosixPath(each.filename).suffix.lower() in _KINDS
        and PurePosixPath(each.filename).name.lower() != _SAVED_MODEL
    ]
    if len(by_kind) > 1:
        raise CannotImport(_("The archive has several models. Send one at a time."))
    if by_kind:
        if by_kind[0].file_size > MAX_MODEL_BYTES:
            raise _too_large()
        return by_kind[0]
    suffixes = {PurePosixPath(each.filename).suffix.lower() for each in entries}
    if ".pb" in suffixes:
        raise CannotImport(
            _(
                "This is a SavedModel, which only TensorFlow can run, and no process that "
                "answers loads TensorFlow. Export the same iteration as TensorFlow Lite or ONNX."
            ),
            code="saved_model",
        )
    if suffixes & set(_ELSEWHERE):
        raise CannotImport(
            _(
                "Models of this kind are not taken. Export the same iteration as TensorFlow Lite "
                "or ONNX."
            )
        )
    raise CannotImport(
        _("The archive has no model, such as model.tflite or model.onnx. Is it an export?")
    )


def _beside(
    entries: list[zipfile.ZipInfo], folder: PurePosixPath, name: str
) -> zipfile.ZipInfo | None:
    """Return a file in the folder of the model, or else the one at the top."""
    for path in (folder / name, PurePosixPath(name)):
        for entry in entries:
            if PurePosixPath(entry.filename) == path:
                return entry
    return None


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    """Return an unpacked file of at most `most` bytes, whatever the directory says of it."""
    with archive.open(entry) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise _too_large()
    return data


def _members(archive: zipfile.ZipFile, entry: zipfile.ZipInfo | None) -> dict[str, str]:
    """Return the members of a JSON object as text; empty without such a file."""
    if entry is None:
        return {}
    try:
        found: Any = json_bodies.loads(_content(archive, entry, json_bodies.MAX_BYTES))
    except (json_bodies.NotJson, json_bodies.TooMuchJson) as error:
        raise CannotImport(
            _("The archive's file %(name)s cannot be read.") % {"name": entry.filename}
        ) from error
    if not isinstance(found, dict):
        return {}
    kept = {str(name): value for name, value in found.items() if isinstance(value, str | int)}
    return {name[:100]: str(value)[:500] for name, value in kept.items()}


def _labels(data: bytes) -> tuple[str, ...]:
    """Return the labels in the order of the outputs. Raises CannotImport."""
    try:
        lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise CannotImport(_("labels.txt is no text in UTF-8.")) from error
    while lines and not lines[-1]:
        lines.pop()
    if not 1 <= len(lines) <= MAX_LABELS or not all(lines):
        raise CannotImport(
            _("labels.txt must have a label on each line, at most %(count)d.")
            % {"count": MAX_LABELS}
        )
    if len(set(lines)) != len(lines):
        raise CannotImport(_("labels.txt names a label twice."))
    for line in lines:
        categories.clean_name(line)
    return tuple(lines)


def _damaged() -> CannotImport:
    return CannotImport(_("This is no ZIP archive, or it is damaged."))


def _too_large() -> CannotImport:
    return CannotImport(
        _("Unpacked, the archive is larger than a model may be. It is not taken."),
        code="too_large",
    )
