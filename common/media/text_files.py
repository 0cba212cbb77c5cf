"""Files with many texts: CSV with a column of texts, JSON Lines, or a text on each line.

A text alone is a file of `.txt`. Each row is a text to check by itself, so that a bad one is
refused and the others go on.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from django.utils.translation import gettext as _

from common import json_bodies
from common.errors import InvalidInput
from common.media import texts

TEXT_COLUMNS = ("text", "texte", "テキスト", "content", "message")
LABEL_COLUMNS = ("label", "category", "catégorie", "カテゴリー", "tag", "class", "target")


@dataclass(frozen=True)
class Row:
    """One text of a file, not checked yet: where it stands, and its label, "" if there is none."""

    number: int
    text: str
    label: str = ""


def kind_of(name: str) -> str:
    """Return "csv", "jsonl" or, for every other name, "txt"."""
    suffix = PurePosixPath(name.casefold()).suffix
    return {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(suffix, "txt")


def rows_of(name: str, data: bytes, *, most: int, lines: bool = False) -> Iterator[Row]:
    """Yield the texts of a file, by its name; of a `.txt` the whole, or with `lines` each line.

    Raises:
        InvalidInput: it cannot be read as what its name says, or holds more than `most` texts.
    """
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise texts.InvalidText(
            _("%(name)s is no text in UTF-8. Save it as UTF-8 and send it again.") % {"name": name}
        ) from error
    match kind_of(name):
        case "csv":
            rows = _csv(name, content)
        case "jsonl":
            rows = _json_lines(name, content)
        case _ if lines:
            rows = (
                Row(number, line)
                for number, line in enumerate(content.splitlines(), start=1)
                if line.strip()
            )
        case _:
            rows = iter([Row(1, content)])
    for count, row in enumerate(rows, start=1):
        if count > most:
            raise InvalidInput(
                _("%(name)s holds too many texts: at most %(limit)d at once.")
                % {"name": name, "limit": most}
            )
        yield row


def _csv(name: str, content: str) -> Iterator[Row]:
    head = content.partition("\n")[0]
    # The separator that the first line has most of; a spreadsheet takes the one of its country
    separator = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    try:
        titles = [title.strip().casefold() for title in next(reader, [])]
        text_at = next((titles.index(each) for each in TEXT_COLUMNS if each in titles), None)
        if text_at is None:
            raise InvalidInput(
                _("%(name)s has no column “text”: its first line must name the columns.")
                % {"name": name}
            )
        label_at = next((titles.index(each) for each in LABEL_COLUMNS if each in titles), None)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield Row(reader.line_num, _cell(cells, text_at), _cell(cells, label_at))
    except csv.Error as error:
        raise InvalidInput(
            _("%(name)s cannot be read as CSV at line %(line)d: %(reason)s.")
            % {"name": name, "line": reader.line_num, "reason": error}
        ) from error


def _cell(cells: list[str], place: int | None) -> str:
    return cells[place] if place is not None and place < len(cells) else ""


def _json_lines(name: str, content: str) -> Iterator[Row]:
    # Not `splitlines`: a text may hold other ends of line as they are
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json_bodies.loads(line.encode(), most_bytes=12 * texts.longest_upload())
        except (json_bodies.NotJson, json_bodies.TooMuchJson) as error:
            raise InvalidInput(
                _("%(name)s cannot be read as JSON at line %(line)d.")
                % {"name": name, "line": number}
            ) from error
        text: Any = value.get("text") if isinstance(value, dict) else value
        if not isinstance(text, str):
            raise InvalidInput(
                _("Line %(line)d of %(name)s has no “text”.") % {"name": name, "line": number}
            )
        label = value.get("label", value.get("category", "")) if isinstance(value, dict) else ""
        yield Row(number, text, label if isinstance(label, str) else "")
