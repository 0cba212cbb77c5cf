"""Samples from a folder or a form, labelled or not: checked like uploads; only new are taken."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from common.names import comparison_key
from common.parallel import parallel_map
from common.progress import Progress, no_progress
from common.transactions import durable_transaction
from predictions import categories, groups, queries, uploads
from predictions.conditions import Conditions, record_conditions
from predictions.modalities import modalities
from predictions.modalities.base import Modality
from predictions.models import Category, Project, Sample
from review import decisions, ground_truth
from review.models import AdditionalCategory, Decision
from training.data import label_file
from training.data.datasets import MIN_PICTURES
from training.data.formats import folders
from training.data.formats.base import (
    CONTRADICTING,
    REFUSED,
    THERE,
    UNREADABLE,
    Entry,
    Listing,
    Reading,
)
from training.data.formats.trees import FolderTree, shown_name

AT_ONCE = 20  # pictures labelled in one transaction


@dataclass(frozen=True)
class SkippedFile:
    """One sample that was not taken, and why; `outcome` is one of `formats.base`."""

    name: str
    reason: str
    outcome: str = REFUSED


# What became of a file: its name, TAKEN or an outcome, its category and the reason
Listener = Callable[[str, str, str, str], None]
# Shown what a dry run would take: its category and its content
Onlooker = Callable[[str, Content], None]
TAKEN = "taken"


@dataclass
class ImportReport:
    """What became of every file; `listener` is told of each as it is known.

    names: under which other name a category is taken; "": it is left out.
    """

    taken: dict[str, int] = field(default_factory=dict)  # category name, or "" -> pictures
    duplicates: list[SkippedFile] = field(default_factory=list)
    refused: list[SkippedFile] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)  # folder -> category of another name
    splits: dict[str, int] = field(default_factory=dict)  # of the data set itself, of all samples
    listener: Listener | None = None
    onlooker: Onlooker | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def total_added(self) -> int:
        return sum(self.taken.values())

    def take(self, source: "ImportFile") -> None:
        name = source.category.name if source.category else ""
        self.taken[name] = self.taken.get(name, 0) + 1
        if self.listener:
            self.listener(source.name, TAKEN, name, "")

    def skip(self, name: str, reason: str, outcome: str, category: str = "") -> None:
        """Note that a sample was not taken."""
        skipped = SkippedFile(name, reason, outcome)
        (self.duplicates if outcome == THERE else self.refused).append(skipped)
        if self.listener:
            self.listener(name, outcome, category, reason)

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
    additional: tuple[Category, ...] = ()  # categories that it shows as well

    @property
    def shown(self) -> list[Category]:
        """All its categories."""
        return [self.category, *self.additional] if self.category else []

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
    root, report = Path(directory), ImportReport()
    if category:
        tree = FolderTree(root)
        sources = _flat(tree, category, report)
        return import_sources(project, sources, report, by=by, progress=progress)
    found = labels or label_file.find_label_file(root)
    table = label_file.read_label_file(Path(found)) if found else None
    reading = Reading(project.modality, sub_folders_are_groups)
    listing = folders.read_folders(FolderTree(root), reading, table)
    return import_listing(project, listing, report, by=by, progress=progress)


def import_listing(
    project: Project,
    listing: Listing,
    report: ImportReport,
    *,
    by: User | None,
    progress: Progress = no_progress,
    dry_run: bool = False,
) -> ImportReport:
    """Import the entries of a data set, in whatever format it came; missing categories are made.

    Args:
        dry_run: find out what would become of each, and keep nothing.

    Raises:
        InvalidInput: while it is read, the data set turns out not to be as its format says.
    """
    sources = _sources(project, listing.entries, report, dry_run=dry_run)
    return import_sources(
        project, sources, report, by=by, progress=progress, total=listing.count, dry_run=dry_run
    )


def import_unlabelled_folder(
    project: Project, directory: str | os.PathLike[str], *, progress: Progress = no_progress
) -> ImportReport:
    """Import the pictures in a folder and below, without a label: they join the pool.

    Raises:
        InvalidInput: if the folder cannot be read.
    """
    report = ImportReport()
    root = Path(directory)
    tree = FolderTree(root)
    for name, problem in tree.problems:
        report.skip(name, problem, REFUSED)
    above = shown_name(root.name)
    sources = [ImportFile(f"{above}/{file.shown}", None, file.read) for file in tree.files]
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
    sources: Iterable[ImportFile],
    report: ImportReport,
    *,
    by: User | None,
    progress: Progress,
    total: int | None = None,
    dry_run: bool = False,
) -> ImportReport:
    """Store a few samples, label them, and go on; no transaction waits for a disk.

    Stopped anywhere, it can be run again: what was labelled is there already, what was only stored
    is labelled then.

    Args:
        total: about how many sources there are, where they are read as they are taken.
        dry_run: store and label nothing; the report says what would have been taken.
    """
    if total is None:
        sources = list(sources)
        total = len(sources)
    note = _("Looking through the data set") if dry_run else _("Importing pictures")
    first: dict[str, _First] = {}
    done = 0
    progress(done, total, note)
    # Other threads decode; the database is asked in this one, for a few pictures at a time
    checked_by = partial(_checked, modalities[project.modality])
    with closing(parallel_map(checked_by, sources)) as checked:
        while batch := list(islice(checked, AT_ONCE)):
            taken = []
            for source, picture in batch:
                if not (
                    content := _content_if_new(project, source, picture, first, report, dry_run)
                ):
                    continue
                if dry_run:
                    report.take(source)
                    if report.onlooker and source.category:
                        report.onlooker(source.category.name, content)
                else:
                    sample = uploads.keep_to_learn_from(project, content, by=by)
                    taken.append((source, sample))
            _label(project, taken, report, by=by)
            done += len(batch)
            progress(done, max(done, total), note)
    return report


def _sources(
    project: Project, entries: Iterable[Entry], report: ImportReport, *, dry_run: bool
) -> Iterator[ImportFile]:
    """Yield what can be taken of a data set, with its categories; the report has the rest."""
    known: dict[str, Category | str] = {}
    wanted = {comparison_key(name): other for name, other in report.names.items()}

    def category_named(name: str) -> Category | str:
        if name not in known:
            try:
                found = _category(project, name, known, dry_run=dry_run)
                # As it is shown: what lies in folders may have bytes that are no letters
                if found.name != shown_name(name) and found.name != name:
                    report.merged[shown_name(name)] = found.name
                known[name] = found
            except InvalidInput as error:
                known[name] = str(error)
        return known[name]

    for entry in entries:
        if entry.split:
            report.splits[entry.split] = report.splits.get(entry.split, 0) + 1
        told = ", ".join(entry.categories)
        if entry.problem:
            report.skip(entry.name, entry.problem, entry.outcome, told)
            continue
        names = [wanted.get(comparison_key(name), name) for name in entry.categories]
        if "" in names:
            report.skip(entry.name, _("Its category was left out."), REFUSED, told)
            continue
        found = [category_named(name) for name in names]
        if problems := [each for each in found if isinstance(each, str)]:
            report.skip(entry.name, problems[0], REFUSED, told)
            continue
        shown: list[Category] = []
        for each in found:
            if isinstance(each, Category) and not any(each is one for one in shown):
                shown.append(each)
        if len(shown) > 1 and not project.multilabel:
            sentence = _("It has several categories, and this project takes one: %(names)s.")
            several = ", ".join(f"“{each.name}”" for each in shown[:5])
            report.skip(entry.name, sentence % {"names": several}, CONTRADICTING, told)
            continue
        category = shown[0] if shown else None
        yield ImportFile(
            entry.name, category, entry.read, entry.group, entry.conditions, tuple(shown[1:])
        )


def _category(
    project: Project, name: str, known: Mapping[str, Category | str], *, dry_run: bool
) -> Category:
    """Return the category of a name, made if it is missing; one object for names that are one.

    Raises InvalidInput for a name that no category can have.
    """
    if dry_run:
        clean = categories.clean_name(name)
        found = categories.find_category(project, clean) or Category(project=project, name=clean)
    else:
        found, _created = categories.add_category(project, name)
    key = comparison_key(found.name)
    same = (
        each
        for each in known.values()
        if isinstance(each, Category) and comparison_key(each.name) == key
    )
    return next(same, found)


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


def _content_if_new(
    project: Project,
    source: ImportFile,
    picture: Content | str,
    first_by_digest: dict[str, "_First"],
    report: ImportReport,
    dry_run: bool,
) -> Content | None:
    """Return what is to be stored and labelled, or None where the report has the reason.

    Of a sample that is there already it is written down what is said of it beside a label.
    """
    category = source.category.name if source.category else ""
    if isinstance(picture, str):
        report.skip(source.name, picture, UNREADABLE, category)
        return None
    seen = first_by_digest.get(picture.sha256)
    if seen is None:
        shown = tuple(each.name for each in source.shown)
        first_by_digest[picture.sha256] = _First(source.name, shown)
    else:
        if not dry_run and (sample := queries.find_sample(project, picture)):
            source.describe(sample)
        if not seen.shown or set(seen.shown) == {each.name for each in source.shown}:
            sentence = _("The same picture as %(name)s.")
            report.skip(source.name, sentence % {"name": seen.name}, THERE, category)
        else:
            sentence = _(
                "The same picture as %(name)s, which is under “%(category)s”. Decide which is "
                "right; remove one."
            )
            names = {"name": seen.name, "category": ", ".join(seen.shown)}
            report.skip(source.name, sentence % names, CONTRADICTING, category)
        return None
    existing = queries.find_sample(project, picture)
    if existing and (decision := _in_force(decisions.latest_decision(existing))):
        if not dry_run:
            source.describe(existing)
        _report_decided(source, decision, report)
        return None
    is_in_pool = existing and existing.has_picture and existing.origin == Sample.Origin.IMPORT
    if is_in_pool and source.category is None:
        report.skip(source.name, _("It is in the project already."), THERE, category)
        return None
    return picture


@dataclass(frozen=True)
class _First:
    """The first of several files that are one sample: not the file itself, which may be large."""

    name: str
    shown: tuple[str, ...]


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
    new: list[tuple[Sample, list[Category]]] = []
    for source, sample in taken:
        source.describe(sample)
        if decision := _in_force(latest.get(sample.pk)):
            _report_decided(source, decision, report)
            continue
        report.take(source)
        if source.category:
            new.append((sample, source.shown))
    decisions.label_many_multilabel(project, new, by=by, reason=_("Imported"))


def _in_force(decision: Decision | None) -> Decision | None:
    """Return the newest decision about a sample, unless it took back the one before."""
    return decision if decision and decision.outcome != Decision.Outcome.REOPENED else None


def _report_decided(source: ImportFile, decision: Decision, report: ImportReport) -> None:
    wanted = source.category.name if source.category else ""
    if decision.category is None:
        sentence = _("A reviewer has discarded this picture.")
        report.skip(source.name, sentence, REFUSED, wanted)
        return
    known = [decision.category, *(each.category for each in _additional(source, decision))]
    if not source.shown or {each.pk for each in source.shown} == {each.pk for each in known}:
        report.skip(source.name, _("It is in the project already."), THERE, wanted)
        return
    sentence = _(
        "It is in the project already, as “%(category)s”. Correct that in the review, or leave it "
        "out."
    )
    names = ", ".join(each.name for each in known)
    report.skip(source.name, sentence % {"category": names}, CONTRADICTING, wanted)


def _additional(source: ImportFile, decision: Decision) -> list[AdditionalCategory]:
    """Return the further categories of a decision, where it can have any."""
    is_multilabel = source.category is not None and source.category.project.multilabel
    rows = decision.additional_categories.select_related("category")
    return list(rows) if is_multilabel else []


def _flat(tree: FolderTree, category: Category, report: ImportReport) -> list[ImportFile]:
    """Return the files of a folder that holds one category, and no folders."""
    for name, problem in tree.problems:
        report.skip(name, problem, REFUSED)
    own = [file for file in tree.files if len(file.parts) == 1]
    inner = dict.fromkeys(file.parts[0] for file in tree.files if len(file.parts) > 1)
    names = [*map(shown_name, inner), *tree.empty_folders]
    if names and not own:
        raise InvalidInput(
            _(
                "%(folder)s holds folders, not pictures. For one folder per category use "
                "import_images."
            )
            % {"folder": tree.title}
        )
    for name in names:
        problem = _("A folder within the folder: its pictures were not looked at.")
        report.skip(name, problem, REFUSED)
    return [ImportFile(file.shown, category, file.read) for file in own]
