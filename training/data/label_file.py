"""The table that may come with a folder of pictures: what each shows, of what, and taken how."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from django.utils.translation import gettext as _

from common.errors import InvalidInput
from common.media.text_files import LABEL_COLUMNS
from predictions import groups
from predictions.conditions import Conditions, submitted_conditions

NAME = "labels.csv"  # in the folder; or beside it, under the folder's own name
MAX_BYTES = 100_000_000
PATH_COLUMNS = ("path", "file", "filename", "chemin", "fichier", "パス", "ファイル")
GROUP_COLUMNS = ("group", "groupe", "グループ", "part", "board", "lot", "patient")


@dataclass(frozen=True)
class LabelRow:
    """What a row says of one file; "" where it says nothing."""

    category: str = ""
    group: str = ""
    conditions: Conditions = field(default_factory=dict)


def find_label_file(folder: Path) -> Path | None:
    """Return the table in a folder or beside it, or None."""
    for path in (folder / NAME, folder.with_name(f"{folder.name}.csv")):
        if path.is_file() and not path.is_symlink():
            return path
    return None


def read_label_file(path: Path) -> dict[str, LabelRow]:
    """Return what a table says, by the files' paths within the folder, with "/" between folders.

    Columns `capture[line]` and the like tell capture conditions.

    Raises:
        InvalidInput: it cannot be read, has no column `path`, says two things of one file, or
            tells a condition that is none.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        content = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(
            _("%(path)s cannot be read: %(reason)s.") % {"path": path, "reason": reason}
        ) from error
    if len(data) > MAX_BYTES:
        raise InvalidInput(_("The file is too large."))
    rows: dict[str, LabelRow] = {}
    for name, row in _rows(path, content):
        if rows.setdefault(name, row) != row:
            sentence = _("%(path)s says two different things about %(name)s.")
            raise InvalidInput(sentence % {"path": path, "name": name})
    return rows


def _rows(path: Path, content: str) -> Iterator[tuple[str, LabelRow]]:
    head = content.partition("\n")[0]
    # A spreadsheet takes the separator of its country
    separator = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    try:
        titles = [title.strip().casefold() for title in next(reader, [])]
        columns = [
            next((titles.index(name) for name in names if name in titles), None)
            for names in (PATH_COLUMNS, LABEL_COLUMNS, GROUP_COLUMNS)
        ]
        if columns[0] is None:
            sentence = _("%(path)s has no column “path”: its first line must name the columns.")
            raise InvalidInput(sentence % {"path": path})
        for cells in reader:
            name, category, group = (
                cells[place].strip() if place is not None and place < len(cells) else ""
                for place in columns
            )
            if name:
                # Windows writes the other slash
                name = PurePosixPath(name.replace("\\", "/")).as_posix()
                told = submitted_conditions(dict(zip(titles, cells, strict=False)))
                yield name, LabelRow(category, groups.clean_name(group), told)
    except csv.Error as error:
        raise InvalidInput(
            _("%(name)s cannot be read as CSV at line %(line)d: %(reason)s.")
            % {"name": path, "line": reader.line_num, "reason": error}
        ) from error
