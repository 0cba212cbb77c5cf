"""The table that may come with a data set: what each sample shows, of what, and taken how.

Each row names a file by its path, or is itself a text.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from django.utils.translation import gettext as _

from common.errors import InvalidInput
from common.media.text_files import LABEL_COLUMNS, TEXT_COLUMNS
from predictions import groups
from predictions.conditions import Conditions, submitted_conditions

NAME = "labels.csv"  # in the folder; or beside it, under the folder's own name
MAX_BYTES = 100_000_000
MAX_ROWS = 500_000
PATH_COLUMNS = (
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "image",
    "chemin",
    "fichier",
    "パス",
    "ファイル",
)
GROUP_COLUMNS = ("group", "groupe", "グループ", "part", "board", "lot", "patient")
SPLIT_COLUMNS = ("split", "subset", "partition")
_COLUMNS = {
    "path": PATH_COLUMNS,
    "text": TEXT_COLUMNS,
    "category": LABEL_COLUMNS,
    "group": GROUP_COLUMNS,
    "split": SPLIT_COLUMNS,
}


@dataclass(frozen=True)
class LabelRow:
    """What a row says of one sample; "" where it says nothing."""

    category: str = ""
    group: str = ""
    conditions: Conditions = field(default_factory=dict)
    split: str = ""


@dataclass(frozen=True)
class TableRow:
    """One row: its line, the file or the text that it is about, and what it says of that."""

    line: int
    path: str
    text: str
    label: LabelRow


def find_label_file(folder: Path) -> Path | None:
    """Return the table in a folder or beside it, or None."""
    for path in (folder / NAME, folder.with_name(f"{folder.name}.csv")):
        if path.is_file() and not path.is_symlink():
            return path
    return None


def read_label_file(path: Path) -> dict[str, LabelRow]:
    """Return what a table says, by the files' paths within the folder, with "/" between folders.

    Raises InvalidInput as `table_rows` and `by_path` do.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unreadable(str(path), error) from error
    with file:
        return by_path(str(path), table_rows(str(path), file, column="path"))


def by_path(title: str, rows: Iterable[TableRow]) -> dict[str, LabelRow]:
    """Return what a table says of each file. Raises InvalidInput: two things of one file."""
    found: dict[str, LabelRow] = {}
    for row in rows:
        if found.setdefault(row.path, row.label) != row.label:
            sentence = _("%(path)s says two different things about %(name)s.")
            raise InvalidInput(sentence % {"path": title, "name": row.path})
    return found


def columns_of(head: str) -> set[str]:
    """Return which of the known columns the first line of a table names."""
    titles = {title.strip().strip('"').casefold() for title in head.split(_separator(head))}
    return {column for column, names in _COLUMNS.items() if titles.intersection(names)}


def table_rows(title: str, file: IO[bytes], *, column: str) -> Iterator[TableRow]:
    """Yield the rows of a table that say something of a file, or of a text.

    Columns `capture[line]` and the like tell capture conditions.

    Args:
        column: "path" or "text", which the table must have.

    Raises:
        InvalidInput: it cannot be read, lacks the column, is too long, or tells a group or a
            condition that is none.
    """
    buffered = io.BufferedReader(_Limited(file), 256 * 1024)
    lines = io.TextIOWrapper(buffered, encoding="utf-8-sig", newline="")
    try:
        head = lines.readline()
        separator = _separator(head)
        titles = [name.strip().casefold() for name in next(csv.reader([head], delimiter=separator))]
        places = {
            known: next((titles.index(name) for name in names if name in titles), None)
            for known, names in _COLUMNS.items()
        }
        if places[column] is None:
            sentences = {
                "path": _("%(path)s has no column “path”: its first line must name the columns."),
                "text": _("%(path)s has no column “text”: its first line must name the columns."),
            }
            raise InvalidInput(sentences[column] % {"path": title})
        reader = csv.reader(lines, delimiter=separator, strict=True)
        line = 1
        for count, cells in enumerate(reader, start=1):
            if count > MAX_ROWS:
                raise _too_large()
            line = reader.line_num + 1
            if any(cell.strip() for cell in cells) and (
                row := _row(line, titles, places, cells, column)
            ):
                yield row
    except (csv.Error, StopIteration) as error:
        line = reader.line_num + 1 if "reader" in locals() else 1
        raise InvalidInput(
            _("%(name)s cannot be read as CSV at line %(line)d: %(reason)s.")
            % {"name": title, "line": line, "reason": error}
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(title, error) from error
    finally:
        lines.detach()


def _row(
    line: int,
    titles: list[str],
    places: dict[str, int | None],
    cells: list[str],
    column: str,
) -> TableRow | None:
    told = {
        known: cells[place] if place is not None and place < len(cells) else ""
        for known, place in places.items()
    }
    path = told["path"].strip().replace("\\", "/")  # Windows writes the other slash
    if column == "path" and not path:
        return None
    # A spreadsheet has a column for each condition of any sample, most of them empty for one
    filled = {name: cell for name, cell in zip(titles, cells, strict=False) if cell.strip()}
    label = LabelRow(
        told["category"].strip(),
        groups.clean_name(told["group"]),
        submitted_conditions(filled),
        told["split"].strip(),
    )
    return TableRow(line, PurePosixPath(path).as_posix() if path else "", told["text"], label)


def _separator(head: str) -> str:
    # A spreadsheet takes the separator of its country
    return max(",;\t", key=head.count)


class _Limited(io.RawIOBase):
    """A file that is refused once more is read of it than a table may have."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, MAX_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise _too_large()
        buffer[: len(data)] = data
        return len(data)


def _unreadable(title: str, error: OSError | UnicodeDecodeError) -> InvalidInput:
    reason = getattr(error, "strerror", None) or error
    return InvalidInput(
        _("%(path)s cannot be read: %(reason)s.") % {"path": title, "reason": reason}
    )


def _too_large() -> InvalidInput:
    return InvalidInput(_("The file is too large."))
