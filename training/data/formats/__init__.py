"""The formats in which data sets come and go, by their aliases.

How to add one: subclass `base.DatasetFormat` in a module of its own, and name it here; the round
trip in `training/tests/test_formats.py` holds it to what it promises.
"""

from pathlib import Path

from django.utils.translation import gettext as _

from common.errors import InvalidInput
from predictions.models import Project
from training.data.formats.base import DatasetFormat, Reading
from training.data.formats.coco import Coco
from training.data.formats.folders import ImageFolder
from training.data.formats.label_studio import LabelStudio
from training.data.formats.parquet import Parquet
from training.data.formats.tables import Csv
from training.data.formats.trees import FileTree, FolderTree, SingleFile, WithLabels, ZipTree

# In the order in which they are recognised: what says more of itself comes first
FORMATS: dict[str, DatasetFormat] = {
    each.alias: each for each in (Parquet(), Coco(), LabelStudio(), Csv(), ImageFolder())
}
_ZIP, _PARQUET = b"PK", b"PAR1"


def recognise(tree: FileTree, reading: Reading) -> DatasetFormat:
    """Return the format of a data set. Raises InvalidInput: it is in none of them."""
    for format_ in FORMATS.values():
        if reading.modality in format_.modalities and format_.recognises(tree, reading):
            return format_
    if not tree.files and not tree.problems:
        sentence = _("%(folder)s is empty: expected one folder per category.")
        raise InvalidInput(sentence % {"folder": tree.title})
    raise InvalidInput(
        _(
            "Nothing in %(name)s says what its samples show: no folders of categories, and no "
            "table or JSON file of a known format."
        )
        % {"name": tree.title}
    )


def format_named(alias: str, modality: str) -> DatasetFormat:
    """Return the format of an alias. Raises InvalidInput: there is none for such samples."""
    found = FORMATS.get(alias)
    if found is None or modality not in found.modalities:
        known = ", ".join(each.alias for each in FORMATS.values() if modality in each.modalities)
        sentence = _("There is no format “%(name)s” for this project. There are: %(known)s.")
        raise InvalidInput(sentence % {"name": alias[:50], "known": known})
    return found


def formats_for(project: Project) -> list[DatasetFormat]:
    """Return the formats in which a project's samples can be exported with all their labels."""
    return [
        each
        for each in reversed(FORMATS.values())  # the plainest first
        if project.modality in each.modalities and (each.takes_several or not project.multilabel)
    ]


def tree_of(path: Path, name: str = "") -> FileTree:
    """Return the files of a folder, in an archive, or one file alone, whatever its name says it is.

    Args:
        name: what it is called, if not as its path.

    Raises:
        InvalidInput: it cannot be read, or is an archive that is not taken.
    """
    name = name or path.name
    if path.is_dir():
        return FolderTree(path)
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if head[:2] == _ZIP:
            return ZipTree(name, path.open("rb"))
    except OSError as error:
        sentence = _("%(path)s cannot be read: %(reason)s.")
        raise InvalidInput(sentence % {"path": path, "reason": error.strerror or error}) from error
    if head == _PARQUET and not name.casefold().endswith(".parquet"):
        name = f"{name}.parquet"
    return SingleFile(name, lambda: path.open("rb"))


def with_labels(tree: FileTree, path: Path, name: str = "") -> FileTree:
    """Return a tree with a table or a JSON file beside it that says what its files show."""
    return WithLabels(tree, name or path.name, lambda: path.open("rb"))
