"""Samples from a folder or a form, labelled or not: checked like uploads; only new are taken."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from common.errors import DomainError, InvalidInput
from common.media.content import Content
from common.media.images import Picture
from common.parallel import parallel_map
from common.progress import Progress, no_progress
from common.transactions import durable_transaction
from predictions import categories, groups, queries, uploads
from predictions.conditions import Conditions, record_conditions
from predictions.modalities import modalities
from predictions.modalities.base import Modality
from predictions.models import Category, Project, Sample
from review import decisions, ground_truth
from review.models import Decision
from training.data import label_file
from training.data.datasets import MIN_PICTURES
from training.data.label_file import LabelRow

AT_ONCE = 20  # pictures labelled in one transaction
# What tools name the folders of a data set that is split already; compared without case
SPLIT_FOLDERS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


@dataclass(frozen=True)
class SkippedFile:
    """One picture that was not taken, and why."""

    name: str
    reason: str


@dataclass
class ImportReport:
    """What became of every file."""

    taken: dict[str, int] = field(default_factory=dict)  # category name, or "" -> pictures
    duplicates: list[SkippedFile] = field(default_factory=list)
    refused: list[SkippedFile] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)  # folder -> category of another name

    @property
    def total_added(self) -> int:
        return sum(self.taken.values())

    def add(self, other: "ImportReport") -> None:
        """Take up what became of further files."""
        for name, count in other.taken.items():
            self.taken[name] = self.taken.get(name, 0) + count
        self.duplicates += other.duplicates
        self.refused += other.refused
        self.merged |= other.merged


@dataclass(frozen=True)
class ImportFile:
    """One file to import: its name, its category if known, and how to read so many of its bytes."""

    name: str
    category: Category | None
    read: Callable[[int], bytes]
    group: str = ""  # what it is of, see `SampleGroup`
    conditions: Conditions = field(default_factory=dict)

    def describe(self, sample: Sample) -> None:
        """Write down what is said of its sample beside a label."""
        groups.put_in_group([sample], self.group)
        record_conditions(sample, self.conditions)


def import_folder(
    project: Project,
    category: Category | None,
    directory: str | os.PathLike[str],
    *,
    by: User | None = None,
    progress: Progress = no_progress,
    labels: str | os.PathLike[str] | None = None,
    sub_folders_are_groups: bool = False,
) -> ImportReport:
    """Import the pictures of a folder.

    Pictures that are there already are not taken again, but put into the groups that they have now.

    Args:
        category: what they all show; None: the folder holds one folder per category, and missing
            ones are made.
        labels: a table of categories and groups, see `label_file`; one in the folder or beside it
            unless given. Only for a folder of categories.
        sub_folders_are_groups: the pictures of each folder within that of a category are a group.

    Files whose names begin with a dot are ignored; links are refused, so that nothing outside the
    folder is read.

    Raises:
        InvalidInput: if the folder cannot be read, or is not laid out as said.
    """
    report = ImportReport()
    root = Path(directory)
    table = None
    if category is None and (found := labels or label_file.find_label_file(root)):
        table = label_file.read_label_file(Path(found))
    if category:
        sources = _flat(root, category, report)
    elif table is not None:
        sources = _by_table(project, root, table, report, sub_folders_are_groups)
    else:
        sources = _by_category(project, root, report, sub_folders_are_groups)
    return import_sources(project, sources, report, by=by, progress=progress)


def import_unlabelled_folder(
    project: Project, directory: str | os.PathLike[str], *, progress: Progress = no_progress
) -> ImportReport:
    """Import the pictures in a folder and below, without a label: they join the pool.

    Raises:
        InvalidInput: if the folder cannot be read.
    """
    report = ImportReport()
    root = Path(directory)
    files = _files_below(root, _shown(root.name), report)
    sources = [ImportFile(name, None, _opener(path)) for name, path in files]
    return import_sources(project, sources, report, by=None, progress=progress)


def import_files(
    project: Project,
    category: Category | None,
    files: Sequence[File],
    *,
    by: User | None,
    progress: Progress = no_progress,
    group: str = "",
) -> ImportReport:
    """Import files that somebody sent with a form, all of one group if that is given.

    Args:
        category: what they all show; None: they join the pool without a label.

    Raises:
        InvalidInput: that is no name of a group.
    """
    group = groups.clean_name(group)
    sources = [
        ImportFile(uploads.display_name(file.name or ""), category, file.read, group)
        for file in files
    ]
    return import_sources(project, sources, ImportReport(), by=by, progress=progress)


def few_pictures_warning(category: Category) -> str:
    """Return a warning if the next run will leave this category out, or ""."""
    count = ground_truth.samples_showing(category).count()
    if count >= MIN_PICTURES:
        return ""
    sentence = ngettext(
        "“%(category)s” has %(count)d picture: the next run will leave it out until it has "
        "%(fewest)d.",
        "“%(category)s” has %(count)d pictures: the next run will leave it out until it has "
        "%(fewest)d.",
        count,
    )
    return sentence % {"category": category.name, "count": count, "fewest": MIN_PICTURES}


def import_sources(
    project: Project,
    sources: Sequence[ImportFile],
    report: ImportReport,
    *,
    by: User | None,
    progress: Progress,
) -> ImportReport:
    """Store a few samples, label them, and go on; no transaction waits for a disk.

    Stopped anywhere, it can be run again: what was labelled is there already, what was only stored
    is labelled then.
    """
    first_by_digest: dict[str, ImportFile] = {}
    done = 0
    progress(done, len(sources), _("Importing pictures"))
    # Other threads decode; the database is asked in this one, for a few pictures at a time
    checked_by = partial(_checked, modalities[project.modality])
    with closing(parallel_map(checked_by, sources)) as checked:
        while batch := list(islice(checked, AT_ONCE)):
            taken = [
                new
                for source, picture in batch
                if (new := _take(project, source, picture, first_by_digest, report, by))
            ]
            _label(project, taken, report, by=by)
            done += len(batch)
            progress(done, len(sources), _("Importing pictures"))
    return report


def _checked(modality: Modality[Any], source: ImportFile) -> tuple[ImportFile, Content | str]:
    """Return the content of one file, or why there is none.

    It runs in several threads, so it asks no database.
    """
    try:
        # One byte more than allowed tells that a file is too large. Nobody looks at the pixels yet,
        # so a JPEG is decoded at its smallest scale
        content = modality.decode_upload(source.read(settings.UPLOAD_MAX_BYTES + 1), least_side=1)
    except OSError as error:
        return source, _("It cannot be read: %(reason)s") % {"reason": error.strerror or error}
    except DomainError as error:
        return source, str(error)
    # What waits for its turn must not fill the memory with pixels
    return source, content.without_pixels() if isinstance(content, Picture) else content


def _take(
    project: Project,
    source: ImportFile,
    picture: Content | str,
    first_by_digest: dict[str, ImportFile],
    report: ImportReport,
    by: User | None,
) -> tuple[ImportFile, Sample] | None:
    """Store one picture; return what to label, or None where the report has the reason."""
    if isinstance(picture, str):
        report.refused.append(SkippedFile(source.name, picture))
        return None
    first = first_by_digest.setdefault(picture.sha256, source)
    if first is not source:
        if sample := queries.find_sample(project, picture):
            source.describe(sample)
        if first.category is None or first.category == source.category:
            sentence = _("The same picture as %(name)s.")
            report.duplicates.append(SkippedFile(source.name, sentence % {"name": first.name}))
        else:
            sentence = _(
                "The same picture as %(name)s, which is under “%(category)s”. Decide which is "
                "right; remove one."
            )
            names = {"name": first.name, "category": first.category.name}
            report.refused.append(SkippedFile(source.name, sentence % names))
        return None
    existing = queries.find_sample(project, picture)
    if existing and (decision := _in_force(decisions.latest_decision(existing))):
        source.describe(existing)
        _report_decided(source, decision, report)
        return None
    is_in_pool = existing and existing.has_picture and existing.origin == Sample.Origin.IMPORT
    if is_in_pool and source.category is None:
        report.duplicates.append(SkippedFile(source.name, _("It is in the project already.")))
        return None
    return source, uploads.keep_to_learn_from(project, picture, by=by)


@durable_transaction()
def _label(
    project: Project,
    taken: Sequence[tuple[ImportFile, Sample]],
    report: ImportReport,
    *,
    by: User | None,
) -> None:
    """Label what was stored, unless a reviewer or a second import has decided meanwhile."""
    keys = [sample.pk for _source, sample in taken]
    # Locked in the order of their keys, so that two imports of the same folder cannot deadlock
    list(Sample.objects.filter(pk__in=keys).select_for_update().order_by("pk").values_list("pk"))
    latest = decisions.latest_decisions(sample for _source, sample in taken)
    new: list[tuple[Sample, Category]] = []
    for source, sample in taken:
        source.describe(sample)
        if decision := _in_force(latest.get(sample.pk)):
            _report_decided(source, decision, report)
            continue
        name = source.category.name if source.category else ""
        report.taken[name] = report.taken.get(name, 0) + 1
        if source.category:
            new.append((sample, source.category))
    decisions.label_many(project, new, by=by, reason=_("Imported"))


def _in_force(decision: Decision | None) -> Decision | None:
    """Return the newest decision about a sample, unless it took back the one before."""
    return decision if decision and decision.outcome != Decision.Outcome.REOPENED else None


def _report_decided(source: ImportFile, decision: Decision, report: ImportReport) -> None:
    if decision.category is None:
        report.refused.append(SkippedFile(source.name, _("A reviewer has discarded this picture.")))
    elif source.category in (None, decision.category):
        report.duplicates.append(SkippedFile(source.name, _("It is in the project already.")))
    else:
        sentence = _(
            "It is in the project already, as “%(category)s”. Correct that in the review, or leave "
            "it out."
        )
        report.refused.append(
            SkippedFile(source.name, sentence % {"category": decision.category.name})
        )


def _flat(root: Path, category: Category, report: ImportReport) -> list[ImportFile]:
    entries = _entries(root)
    # Links are reported on the way
    files = [entry for entry in entries if _is_own_file(entry, _shown(entry.name), report)]
    folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    if folders and not files:
        raise InvalidInput(
            _(
                "%(folder)s holds folders, not pictures. For one folder per category use "
                "import_images."
            )
            % {"folder": root}
        )
    for entry in folders:
        report.refused.append(
            SkippedFile(
                _shown(entry.name),
                _("A folder within the folder: its pictures were not looked at."),
            )
        )
    return [ImportFile(_shown(entry.name), category, _opener(entry.path)) for entry in files]


def _by_category(
    project: Project, root: Path, report: ImportReport, sub_folders_are_groups: bool
) -> list[ImportFile]:
    sources = []
    entries = _entries(root)
    _refuse_splits(root, entries)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            files = _files_below(Path(entry.path), _shown(entry.name), report)
            if not files:
                report.refused.append(SkippedFile(_shown(entry.name), _("The folder is empty.")))
                continue
            try:
                category, _created = categories.add_category(project, entry.name)
            except InvalidInput as error:
                report.refused.append(SkippedFile(_shown(entry.name), str(error)))
                continue
            if category.name != _shown(entry.name):
                report.merged[_shown(entry.name)] = category.name
            sources += [
                ImportFile(
                    name, category, _opener(path), _folder_group(name, sub_folders_are_groups)
                )
                for name, path in files
            ]
        elif _is_own_file(entry, _shown(entry.name), report):
            report.refused.append(
                SkippedFile(_shown(entry.name), _("It is in no category's folder."))
            )
    if not sources and not report.refused:
        raise InvalidInput(
            _("%(folder)s is empty: expected one folder per category.") % {"folder": root}
        )
    return sources


def _by_table(
    project: Project,
    root: Path,
    table: dict[str, LabelRow],
    report: ImportReport,
    sub_folders_are_groups: bool,
) -> list[ImportFile]:
    """Return the files of a folder as a table says; of others their own folder says what they show.

    The table may leave out categories, groups, conditions or files.
    """
    sources = []
    known: dict[str, Category | str] = {}
    missing = dict(table)
    # Of the folder itself the name is not part of the paths
    for name, path in _files_below(root, "", report):
        if "/" not in name and name.casefold().endswith(".csv"):
            continue  # the table itself
        row = missing.pop(name, LabelRow())
        folder, separator, _rest = name.partition("/")
        wanted = row.category or (folder if separator else "")
        if wanted not in known:
            try:
                known[wanted], _created = categories.add_category(project, wanted)
            except InvalidInput as error:
                known[wanted] = str(error)
        category = known[wanted]
        if isinstance(category, Category):
            group = row.group or _folder_group(name, sub_folders_are_groups)
            sources.append(ImportFile(name, category, _opener(path), group, row.conditions))
        else:
            reason = category if wanted else _("Neither the table nor a folder says what it shows.")
            report.refused.append(SkippedFile(name, reason))
    report.refused += [
        SkippedFile(_shown(name), _("The table names it, but it is not in the folder."))
        for name in missing
    ]
    return sources


def _folder_group(name: str, sub_folders_are_groups: bool) -> str:
    """Return the group of a file by the folders that it is in, within that of its category."""
    folders = name.split("/")[1:-1]
    return groups.clean_name("/".join(folders)[:100]) if sub_folders_are_groups else ""


def _refuse_splits(root: Path, entries: Sequence[os.DirEntry[str]]) -> None:
    """Raise InvalidInput where the folders are the splits of a data set, not its categories.

    One of these names may be a category, as long as pictures lie in it and not in folders of it.
    """
    folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    splits = [entry for entry in folders if entry.name.casefold() in SPLIT_FOLDERS]
    holders = [entry for entry in splits if _holds_only_folders(entry)]
    if len(splits) < 2 and not holders:
        return
    sentence = _(
        "%(folder)s holds %(names)s: these look like the parts of a data set that is split "
        "already, not like categories. Import the folder of categories within each, for example "
        "%(example)s; which pictures are for testing is decided here."
    )
    names = ", ".join(f"“{_shown(entry.name)}”" for entry in splits)
    example = root / _shown((holders or splits)[0].name)
    raise InvalidInput(sentence % {"folder": root, "names": names, "example": example})


def _holds_only_folders(entry: os.DirEntry[str]) -> bool:
    inner = _entries(Path(entry.path))
    return bool(inner) and all(each.is_dir(follow_symlinks=False) for each in inner)


def _files_below(folder: Path, shown: str, report: ImportReport) -> list[tuple[str, str]]:
    """Return the name and path of every file in a category's folder and the folders in it."""
    files: list[tuple[str, str]] = []
    for entry in _entries(folder):
        name = f"{shown}/{_shown(entry.name)}" if shown else _shown(entry.name)
        if entry.is_dir(follow_symlinks=False):
            files += _files_below(Path(entry.path), name, report)
        elif _is_own_file(entry, name, report):
            files.append((name, entry.path))
    return files


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder by name, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (entry for entry in entries if not entry.name.startswith(".")),
                key=lambda each: each.name,
            )
    except OSError as error:
        sentence = _("The folder %(folder)s cannot be read: %(reason)s.")
        raise InvalidInput(
            sentence % {"folder": folder, "reason": error.strerror or error}
        ) from error


def _is_own_file(entry: os.DirEntry[str], name: str, report: ImportReport) -> bool:
    if entry.is_symlink():
        report.refused.append(SkippedFile(name, _("A link, which is not followed.")))
        return False
    return entry.is_file(follow_symlinks=False)


def _shown(name: str) -> str:
    """Return a file's name fit for a terminal and a page, whatever bytes the disk holds."""
    return uploads.display_name(name.encode("utf-8", "replace").decode())


def _opener(path: str) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        # The file may have become a link since the folder was listed
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            return file.read(limit)

    return read
