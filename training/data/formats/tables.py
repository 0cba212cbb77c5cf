"""CSV: a row for each picture, by its path, or for each text; the files lie beside the table."""

from collections.abc import Iterable, Iterator
from typing import IO

from django.utils.translation import gettext as _

from common.errors import InvalidInput
from training.data import label_file
from training.data.formats.archives import TABLE, ArchiveWriter, TableOut, sample_name
from training.data.formats.base import (
    SPLITS,
    DatasetFormat,
    DatasetWriter,
    Entry,
    ExportedSample,
    ExportPlan,
    Listing,
    Reading,
)
from training.data.formats.folders import read_folders
from training.data.formats.trees import FileTree, TreeFile, Within
from training.data.label_file import TableRow

_SUFFIXES = {".csv", ".tsv"}
_MOST_CANDIDATES = 20


class Csv(DatasetFormat):
    alias, title, suffix = "csv", "CSV", "zip"

    def recognises(self, tree: FileTree, reading: Reading) -> bool:
        return _find_table(tree, _column(reading)) is not None or (
            reading.is_of_texts and _find_table(tree, "path") is not None
        )

    def read(self, tree: FileTree, reading: Reading) -> Listing:
        """Return what a table says; files that it does not name go by their own folder."""
        texts = _find_table(tree, "text") if reading.is_of_texts else None
        if texts is not None:
            with tree.open(texts) as file:
                count = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
            return Listing(_text_entries(tree, texts), count)
        # Of one that has no such column it is told what is missing
        any_table = next((file for file in tree.files if file.suffix in _SUFFIXES), None)
        table = _find_table(tree, "path") or any_table
        if table is None:
            raise InvalidInput(_("There is no table in %(name)s.") % {"name": tree.title})
        with tree.open(table) as file:
            found = label_file.table_rows(table.shown, file, column="path")
            rows = label_file.by_path(table.shown, found)
        base = _base(tree, table, rows)
        return read_folders(base, reading, {_found(base, path): row for path, row in rows.items()})

    def writer(self, out: IO[bytes], plan: ExportPlan) -> DatasetWriter:
        return _TextTableWriter(out, plan) if plan.is_of_texts else _PicturesTableWriter(out, plan)


def _column(reading: Reading) -> str:
    return "text" if reading.is_of_texts else "path"


def _find_table(tree: FileTree, column: str) -> TreeFile | None:
    """Return the table that is nearest to the top, and has the column."""
    found = sorted(
        (file for file in tree.files if file.suffix in _SUFFIXES), key=lambda each: len(each.parts)
    )
    for file in found[:_MOST_CANDIDATES]:
        head = file.read(4096).decode("utf-8-sig", "replace").partition("\n")[0]
        if column in label_file.columns_of(head):
            return file
    return None


def _base(tree: FileTree, table: TreeFile, paths: Iterable[str]) -> FileTree:
    """Return the folder that a table's paths begin in: the top, its own, or that of all files."""
    if any(tree.at(path) for path in paths):
        return tree
    folder = table.path.rpartition("/")[0]
    tops = {file.parts[0] for file in tree.files if file is not table}
    if not folder and tree.is_archive and len(tops) == 1:
        folder = tops.pop()
    return Within(tree, folder) if folder else tree


def _found(tree: FileTree, path: str) -> str:
    """Return the path in a tree that a table's path means, as it stands if there is none."""
    found = tree.at(path) or (tree.resolve(path) if tree.is_archive else None)
    return found.path if found else path


def _text_entries(tree: FileTree, table: TreeFile) -> Iterator[Entry]:
    with tree.open(table) as file:
        for row in label_file.table_rows(table.shown, file, column="text"):
            yield _text_entry(table.shown, row)


def _text_entry(title: str, row: TableRow) -> Entry:
    name, label = f"{title}:{row.line}", row.label
    if not label.category:
        return Entry(name, problem=_("It has no label."))
    data = row.text.encode("utf-8", "surrogatepass")
    split = SPLITS.get(label.split.casefold(), "")
    return Entry(
        name,
        lambda limit: data[:limit],
        (label.category,),
        split,
        label.group,
        label.conditions,
    )


class _PicturesTableWriter(ArchiveWriter):
    """A table, and the pictures in one folder."""

    def __init__(self, out: IO[bytes], plan: ExportPlan) -> None:
        super().__init__(out)
        self._table = TableOut(plan)

    def add(self, sample: ExportedSample) -> None:
        path = f"pictures/{sample_name(sample)}"
        self.put(path, sample.data)
        self._table.add(path, sample)

    def close(self) -> None:
        self.put_text(TABLE, self._table.lines())
        super().close()


class _TextTableWriter(ArchiveWriter):
    """A table whose rows are the texts."""

    def __init__(self, out: IO[bytes], plan: ExportPlan) -> None:
        super().__init__(out)
        self._table = TableOut(plan, first="text")

    def add(self, sample: ExportedSample) -> None:
        self._table.add(sample.data.decode(), sample)

    def close(self) -> None:
        self.put_text(TABLE, self._table.lines())
        super().close()
