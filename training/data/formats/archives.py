"""What writers of archives share: a ZIP archive on a stream, names in it, and a table of labels."""

import csv
import io
import json
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from common.media.content import EXTENSIONS
from training.data import label_file
from training.data.formats.base import DatasetWriter, ExportedSample, ExportPlan

TABLE = label_file.NAME
_IN_MEMORY_BYTES = 1_000_000
_SHOWN_DIGITS = 20  # of a digest: enough to tell the samples of a project apart
_NO_TIME = (1980, 1, 1, 0, 0, 0)  # the same data set is the same archive


class ArchiveWriter(DatasetWriter):
    """A ZIP archive, written to its end without going back."""

    def __init__(self, out: IO[bytes]) -> None:
        self._archive = zipfile.ZipFile(out, "w", allowZip64=True)

    def put(self, path: str, data: bytes) -> None:
        """Add one sample, which is compressed as it is."""
        info = zipfile.ZipInfo(path, _NO_TIME)
        info.external_attr = 0o644 << 16
        is_text = path.endswith(".txt")
        info.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
        self._archive.writestr(info, data)

    def put_text(self, path: str, chunks: Iterable[bytes]) -> None:
        """Add a file of text that need not fit into memory."""
        info = zipfile.ZipInfo(path, _NO_TIME)
        info.external_attr = 0o644 << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(info, "w", force_zip64=True) as file:
            for chunk in chunks:
                file.write(chunk)

    def close(self) -> None:
        self._archive.close()


class Later:
    """Lines that are written now and read once, after the samples; in a temporary file if long."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 (closed when read)
        self.count = 0

    def add(self, value: Any) -> None:
        """Add one value as JSON."""
        start = ",\n" if self.count else ""
        self._file.write(f"{start}{json.dumps(value, ensure_ascii=False)}".encode())
        self.count += 1

    def write(self, text: str) -> None:
        self._file.write(text.encode())

    def chunks(self) -> Iterator[bytes]:
        with self._file as file:
            file.seek(0)
            while chunk := file.read(_IN_MEMORY_BYTES):
                yield chunk


class TableOut:
    """A table with a row for each sample, as `label_file` reads it."""

    def __init__(self, plan: ExportPlan, *, first: str = "path") -> None:
        self._conditions = plan.conditions
        self._later = Later()
        told = (f"capture[{name}]" for name in plan.conditions)
        self._row([first, "category", "split", "group", *told])

    def add(self, first: str, sample: ExportedSample) -> None:
        """Add a row that begins with the path, or the text."""
        told = (sample.conditions.get(name, "") for name in self._conditions)
        category = sample.categories[0] if sample.categories else ""
        self._row([first, category, sample.split, sample.group, *told])

    def _row(self, cells: list[str]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        self._later.write(line.getvalue())

    def lines(self) -> Iterator[bytes]:
        yield from self._later.chunks()


def sample_name(sample: ExportedSample) -> str:
    """Return what a sample is called in an archive: by its content, with the suffix of its type."""
    suffix = EXTENSIONS.get(sample.media_type, "bin")
    return f"{sample.digest[:_SHOWN_DIGITS]}.{suffix}"


def folder_name(category: str) -> str:
    """Return a folder for a category that every system can make; the name itself if it can."""
    letters = ["_" if letter in '/\\:*?"<>|\0' else letter for letter in category]
    name = "".join(each for each in letters if unicodedata.category(each)[0] != "C").strip(" .")
    # A folder that begins with a dot is hidden
    return name or "_"
