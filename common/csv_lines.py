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

    Names come from whoever typed them, so text is made inert:
    https://owasp.org/www-community/attacks/CSV_Injection
    """
    writer = csv.writer(_Echo())
    yield writer.writerow(columns)
    for row in rows:
        yield writer.writerow([inert(value) for value in row])


def inert(value: object) -> object:
    """Return a cell that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
