"""Labelled texts from files: of one category, or with a column that names it."""

from collections.abc import Sequence
from pathlib import Path

from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import InvalidInput
from common.media import text_files
from common.media.text_files import Row
from common.progress import Progress, no_progress
from predictions import categories, uploads
from predictions.models import Category, Project
from training.data import picture_import
from training.data.formats.base import REFUSED
from training.data.picture_import import ImportFile, ImportReport

MAX_FILE_BYTES = 100_000_000  # of a command
MAX_TEXTS = 200_000
MAX_SENT = 2_000  # of a form: stored and labelled while its sender waits; commands take more


def import_text_file(
    project: Project,
    category: Category | None,
    path: str | Path,
    *,
    by: User | None = None,
    progress: Progress = no_progress,
) -> ImportReport:
    """Import the texts of a file on this machine: of a `.txt` each line, of a CSV each row.

    Args:
        category: what they all are; None: a column `label` says it, and missing ones are made.

    Raises:
        InvalidInput: it cannot be read, or is not laid out as said.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidInput(
            _("%(path)s cannot be read: %(reason)s.")
            % {"path": path, "reason": error.strerror or error}
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise InvalidInput(_("The file is too large."))
    name = uploads.display_name(Path(path).name)
    return _import(project, category, name, data, MAX_TEXTS, by=by, progress=progress)


def import_sent_file(
    project: Project, category: Category | None, name: str, data: bytes, *, by: User | None
) -> ImportReport:
    """Import the texts of a file that somebody sent with a form, as `import_text_file` does."""
    return _import(project, category, uploads.display_name(name), data, MAX_SENT, by=by)


def _import(
    project: Project,
    category: Category | None,
    name: str,
    data: bytes,
    most: int,
    *,
    by: User | None,
    progress: Progress = no_progress,
) -> ImportReport:
    report = ImportReport()
    rows = list(text_files.rows_of(name, data, most=most, lines=True))
    if category:
        sources = [_source(name, row, category) for row in rows]
    else:
        sources = _by_label(project, name, rows, report)
    return picture_import.import_sources(project, sources, report, by=by, progress=progress)


def _by_label(
    project: Project, name: str, rows: Sequence[Row], report: ImportReport
) -> list[ImportFile]:
    known: dict[str, Category | str] = {}
    sources = []
    for row in rows:
        if row.label not in known:
            try:
                known[row.label], _created = categories.add_category(project, row.label)
            except InvalidInput as error:
                known[row.label] = str(error)
        category = known[row.label]
        if isinstance(category, Category):
            sources.append(_source(name, row, category))
        else:
            reason = category if row.label.strip() else _("It has no label.")
            report.skip(f"{name}:{row.number}", reason, REFUSED)
    return sources


def _source(name: str, row: Row, category: Category) -> ImportFile:
    data = row.text.encode("utf-8", "surrogatepass")
    return ImportFile(f"{name}:{row.number}", category, lambda limit: data[:limit])
