"""Tables as CSV, a line at a time, so that their length costs no memory."""

import csv
from collections.abc import Iterable, Iterator, Sequence

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class _Echo:
    """Gives back what is written to it, so that `csv` makes one line at a time."""

    def write(self, line: str) -> str:
        return line


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the line of the column names, and one for each row.

    Text that a spreadsheet would take for a formula gets an apostrophe before it: names come from
    whoever typed them. https://owasp.org/www-community/attacks/CSV_Injection
    """
    writer = csv.writer(_Echo())
    yield writer.writerow(columns)
    for row in rows:
        yield writer.writerow([_inert(value) for value in row])


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
