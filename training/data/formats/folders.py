"""ImageFolder: one folder per category, within folders of splits or not; and a table beside it.

Of texts each file is one. What datumaro writes as "imagenet" is the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from django.utils.translation import gettext as _

from common.errors import InvalidInput
from predictions import groups
from training.data.formats.archives import TABLE, ArchiveWriter, TableOut, folder_name, sample_name
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
from training.data.formats.trees import FileTree, TreeFile, Within, shown_name
from training.data.label_file import LabelRow

NO_LABEL = "no_label"  # where datumaro puts what nobody labelled
_NOTES = {"", ".md", ".rst", ".csv", ".tsv", ".json", ".yaml", ".yml", ".html", ".license"}
_MAX_TOLD = 5


class ImageFolder(DatasetFormat):
    alias, title, suffix = "folder", "ImageFolder", "zip"

    def recognises(self, tree: FileTree, reading: Reading) -> bool:
        return any("/" in file.path for file in tree.files)

    def read(self, tree: FileTree, reading: Reading) -> Listing:
        return read_folders(tree, reading)

    def writer(self, out: IO[bytes], plan: ExportPlan) -> DatasetWriter:
        return _FolderWriter(out, plan)


def read_folders(
    tree: FileTree, reading: Reading, table: Mapping[str, LabelRow] | None = None
) -> Listing:
    """Return what is in the folders of a tree.

    Args:
        table: what is said of files by their paths in the tree; their folders say the rest.

    Raises:
        InvalidInput: the folders are not those of categories, with a guess of what they are.
    """
    if table is None:
        tree = unwrapped(tree, reading)
    is_split = _is_split(tree, reading, by_table=table is not None)
    if table is None and not is_split and not reading.sub_folders_are_groups:
        _refuse_datasets(tree, reading)
    if not tree.files and not tree.problems and not tree.empty_folders:
        sentence = _("%(folder)s is empty: expected one folder per category.")
        raise InvalidInput(sentence % {"folder": tree.title})
    return Listing(_entries(tree, reading, table, is_split), len(tree.files))


def unwrapped(tree: FileTree, reading: Reading) -> FileTree:
    """Return an archive without the one folder that all of it was packed in."""
    while tree.is_archive:
        tops = _tops(tree)
        if len(tops) != 1:
            break
        (top,) = tops
        inner = {file.parts[1] for file in tree.files if len(file.parts) > 2}
        if top.casefold() in SPLITS or not inner or top in _with_samples(tree, reading):
            break
        # Of one category, with folders in it, nobody could tell it from a wrapped data set
        tree = Within(tree, top)
    return tree


def _entries(
    tree: FileTree, reading: Reading, table: Mapping[str, LabelRow] | None, is_split: bool
) -> Iterator[Entry]:
    for name, problem in tree.problems:
        yield Entry(name, problem=problem)
    for name in tree.empty_folders:
        if table is None:
            yield Entry(name, problem=_("The folder is empty."))
    missing = dict(table or {})
    for file in tree.files:
        row = missing.pop(file.path, None) or missing.pop(file.shown, None) or LabelRow()
        is_note = file.suffix in _NOTES and not row.category
        if is_note and table is not None and len(file.parts) == 1:
            continue  # the table itself
        parts = file.parts
        split = SPLITS.get(row.split.casefold(), "")
        if is_split:
            if is_note and len(parts) <= 2:
                continue
            split = split or SPLITS.get(parts[0].casefold(), "")
            parts = parts[1:]
        folder = parts[0] if len(parts) > 1 else ""
        category = row.category or ("" if folder.casefold() == NO_LABEL else folder)
        if not category:
            yield Entry(file.shown, problem=_no_label(table, folder))
            continue
        group = row.group
        if reading.sub_folders_are_groups and not group:
            group = groups.clean_name("/".join(map(shown_name, parts[1:-1]))[:100])
        yield Entry(file.shown, file.read, (category,), split, group, row.conditions)
    for name in missing:
        problem = _("The table names it, but it is not in the folder.")
        yield Entry("/".join(map(shown_name, name.split("/"))), problem=problem)


def _no_label(table: Mapping[str, LabelRow] | None, folder: str) -> str:
    if folder:
        return _("It has no label.")
    if table is None:
        return _("It is in no category's folder.")
    return _("Neither the table nor a folder says what it shows.")


def _is_split(tree: FileTree, reading: Reading, *, by_table: bool) -> bool:
    """Say whether the folders at the top are the splits of a data set, not its categories.

    One of these names may be a category, as long as samples lie in it and not in folders of it.

    Raises:
        InvalidInput: they look like splits, and are none.
    """
    tops = _tops(tree)
    splits = [top for top in tops if top.casefold() in SPLITS]
    with_samples = _with_samples(tree, reading)
    holders = [top for top in splits if top not in with_samples]
    if len(splits) < 2 and not holders:
        return False
    if len(holders) == len(tops):
        return True
    if by_table:
        return False
    sentence = _(
        "%(folder)s holds %(names)s: these look like the parts of a data set that is split "
        "already, not like categories. Then each of them must hold one folder per category, and "
        "nothing else may be beside them."
    )
    raise InvalidInput(sentence % {"folder": tree.title, "names": _told(splits)})


def _refuse_datasets(tree: FileTree, reading: Reading) -> None:
    """Raise InvalidInput where the folders are data sets, each with its categories."""
    tops = _tops(tree)
    if not tops or _with_samples(tree, reading):
        return
    inner: dict[str, set[str]] = {top: set() for top in tops}
    for file in tree.files:
        if len(file.parts) > 2:
            inner[file.parts[0]].add(file.parts[1].casefold())
    names = [name for each in inner.values() for name in each]
    shares = len(set(names)) < len(names)
    holds_splits = any(name in SPLITS for name in names)
    is_wrapper = len(tops) == 1 and len(names) > 1
    if not (shares or holds_splits or is_wrapper):
        return
    sentence = _(
        "These folders look like data sets, not like categories: %(names)s. They hold folders "
        "and no samples, such as %(inner)s. Import each of them alone: %(example)s. If the "
        "folders within are groups of one category, say so."
    )
    first = next(iter(tops))
    example = f"{tree.title}/{shown_name(first)}"
    shown = _told(sorted(inner[first]))
    raise InvalidInput(sentence % {"names": _told(tops), "inner": shown, "example": example})


def _tops(tree: FileTree) -> list[str]:
    """Return the folders at the top, in their order."""
    return list(dict.fromkeys(file.parts[0] for file in tree.files if len(file.parts) > 1))


def _with_samples(tree: FileTree, reading: Reading) -> set[str]:
    """Return the folders at the top in which samples lie, not only folders."""
    return {
        file.parts[0] for file in tree.files if len(file.parts) == 2 and not _is_note(file, reading)
    }


def _is_note(file: TreeFile, reading: Reading) -> bool:
    """Say whether a file beside folders tells nothing: a licence, a table, a description."""
    return file.suffix in _NOTES or (file.suffix == ".txt" and not reading.is_of_texts)


def _told(names: Sequence[str]) -> str:
    told = ", ".join(f"“{shown_name(name)}”" for name in names[:_MAX_TOLD])
    return told if len(names) <= _MAX_TOLD else f"{told} …"


class _FolderWriter(ArchiveWriter):
    """Folders of splits and of categories, and a table with what folders cannot say."""

    def __init__(self, out: IO[bytes], plan: ExportPlan) -> None:
        super().__init__(out)
        self._table = TableOut(plan)

    def add(self, sample: ExportedSample) -> None:
        if not sample.categories:
            return
        folder = folder_name(sample.categories[0])
        path = "/".join(filter(None, (sample.split, folder, sample_name(sample))))
        self.put(path, sample.data)
        self._table.add(path, sample)

    def close(self) -> None:
        self.put_text(TABLE, self._table.lines())
        super().close()
