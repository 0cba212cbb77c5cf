"""Importing a data set in any of the known formats, and the report of what became of each file."""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from django.utils.translation import gettext as _

from accounts.models import User
from common.csv_lines import inert
from common.progress import Progress, no_progress
from predictions.models import Project
from training.data import formats, picture_import
from training.data.formats.base import (
    CONTRADICTING,
    REFUSED,
    THERE,
    UNREADABLE,
    DatasetFormat,
    Reading,
)
from training.data.formats.trees import FileTree
from training.data.picture_import import ImportReport, Listener, Onlooker

COLUMNS = ("file", "outcome", "category", "reason")
NO_NAMES: Mapping[str, str] = {}
MOST_TOLD = 50  # files that a page names


@dataclass(frozen=True)
class ImportedDataset:
    """What was read, in which format, and what became of it."""

    format: DatasetFormat
    report: ImportReport


def import_dataset(
    project: Project,
    tree: FileTree,
    *,
    by: User | None,
    alias: str = "",
    sub_folders_are_groups: bool = False,
    dry_run: bool = False,
    progress: Progress = no_progress,
    listener: Listener | None = None,
    onlooker: Onlooker | None = None,
    names: Mapping[str, str] = NO_NAMES,
) -> ImportedDataset:
    """Import a data set; what is there already is not taken again.

    Args:
        alias: of its format, if it is not to be recognised.
        dry_run: find out what would become of each file, and keep nothing.
        listener: told of each file as it is known.
        onlooker: shown what a dry run would take.
        names: under which other name a category is taken; "": it is left out.

    Raises:
        InvalidInput: it is in no known format, or not as its format says.
    """
    reading = Reading(project.modality, sub_folders_are_groups)
    if alias:
        format_ = formats.format_named(alias, project.modality)
    else:
        format_ = formats.recognise(tree, reading)
    listing = format_.read(tree, reading)
    report = picture_import.import_listing(
        project,
        listing,
        ImportReport(listener=listener, onlooker=onlooker, names=names),
        by=by,
        progress=progress,
        dry_run=dry_run,
    )
    return ImportedDataset(format_, report)


def summary(project: Project, imported: ImportedDataset, *, dry_run: bool) -> dict[str, Any]:
    """Return what a page says of an import, as JSON: counts, and the first that were not taken."""
    report = imported.report
    counts = Counter(each.outcome for each in [*report.refused, *report.duplicates])
    told = [*report.refused, *report.duplicates][:MOST_TOLD]
    known = set(project.categories.values_list("name", flat=True)) if dry_run else set()
    return {
        "is_dry_run": dry_run,
        "added": report.total_added,
        "taken": sorted(map(list, report.taken.items())),  # lists, as a name may be "items"
        "new_categories": sorted(set(report.taken) - known) if dry_run else [],
        "merged": [list(pair) for pair in report.merged.items()],
        "there": counts[THERE],
        "contradicting": counts[CONTRADICTING],
        "unreadable": counts[UNREADABLE],
        "refused": counts[REFUSED],
        "splits": report.splits,
        "told": [[each.name, each.outcome, each.reason] for each in told],
    }


def split_sentence(splits: dict[str, int]) -> str:
    """Return what becomes of the splits that a data set has itself, "" if it has none."""
    if not splits:
        return ""
    titles = {"train": _("training"), "validation": _("validation"), "test": _("test")}
    parts = ", ".join(f"{titles[split]} {splits[split]}" for split in titles if split in splits)
    return _(
        "The data set is split already (%(parts)s). Its split is not taken over: here a sample is "
        "for training, validation or test by its own content, for good, so that no test picture "
        "is ever trained on."
    ) % {"parts": parts}


def report_writer(file: IO[str]) -> Listener:
    """Return a listener that writes a row of CSV for each file."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)

    def write(name: str, outcome: str, category: str, reason: str) -> None:
        writer.writerow([inert(each) for each in (name, outcome, category, reason)])

    return write
