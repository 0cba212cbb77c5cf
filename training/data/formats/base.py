"""What every format of data sets is here: a reader of entries, and a writer of samples."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Any

from django.utils.functional import Promise

from common.errors import InvalidInput
from predictions import groups
from predictions.conditions import Conditions, submitted_conditions
from predictions.models import Project
from training.data.formats.trees import FileTree

MAX_SAMPLES = 500_000  # of one data set: names and digests of all of them are in memory
# What tools name the parts of a data set that is split already; compared without case
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
# What became of a file, beside those that were taken
THERE = "there"  # the same sample is in the project, or was in the data set before
UNREADABLE = "unreadable"
CONTRADICTING = "contradicting"  # something else is known of the same sample
REFUSED = "refused"


@dataclass(frozen=True)
class Entry:
    """One sample of a data set that was not looked at yet, and what is said of it.

    `read` returns so many of its bytes. With a `problem` it cannot be taken: `outcome` says of
    which kind that is.
    """

    name: str
    read: Callable[[int], bytes] = lambda limit: b""
    categories: tuple[str, ...] = ()
    split: str = ""  # a value of SPLITS, or ""
    group: str = ""
    conditions: Conditions = field(default_factory=dict)
    problem: str = ""
    outcome: str = REFUSED


def described(entry: Entry, group: Any, capture: Any) -> Entry:
    """Return an entry with its group and conditions as JSON told them; a bad one is a problem."""
    told = capture if isinstance(capture, Mapping) else {}
    try:
        return replace(
            entry,
            group=groups.clean_name(str(group)) if isinstance(group, str | int) else "",
            conditions=submitted_conditions({f"capture[{name}]": told[name] for name in told}),
        )
    except InvalidInput as error:
        return replace(entry, problem=str(error))


@dataclass(frozen=True)
class Listing:
    """The entries of a data set, read as they are asked for, and about how many there are."""

    entries: Iterable[Entry]
    count: int


@dataclass(frozen=True)
class Reading:
    """How a data set is to be read."""

    modality: str
    sub_folders_are_groups: bool = False

    @property
    def is_of_texts(self) -> bool:
        return self.modality == Project.Modality.TEXT


@dataclass(frozen=True)
class ExportedSample:
    """One sample with its bytes, as a writer gets it."""

    digest: str
    media_type: str
    data: bytes
    size: tuple[int, int]
    categories: tuple[str, ...] = ()
    split: str = ""
    group: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportPlan:
    """What a writer knows before the first sample: all categories, and which conditions occur."""

    modality: str
    categories: tuple[str, ...]
    conditions: tuple[str, ...] = ()

    @property
    def is_of_texts(self) -> bool:
        return self.modality == Project.Modality.TEXT


class DatasetWriter(ABC):
    """Writes samples of a data set to a stream that cannot be sought in, one by one."""

    @abstractmethod
    def add(self, sample: ExportedSample) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Write what comes after the last sample."""


class DatasetFormat(ABC):
    """One format. `modalities` are the kinds of samples that it holds here."""

    alias: str
    title: str | Promise
    suffix: str  # of an exported file
    media_type: str = "application/zip"
    modalities: tuple[str, ...] = (Project.Modality.IMAGE, Project.Modality.TEXT)
    takes_several: bool = False  # categories of one sample

    @abstractmethod
    def recognises(self, tree: FileTree, reading: Reading) -> bool:
        """Say whether a data set is in this format, by its files' names and a look into few."""

    @abstractmethod
    def read(self, tree: FileTree, reading: Reading) -> Listing:
        """Return what is in a data set.

        Raises InvalidInput, here or while the entries are read: it is not laid out like this.
        """

    @abstractmethod
    def writer(self, out: IO[bytes], plan: ExportPlan) -> DatasetWriter:
        """Return what writes a data set to `out`. Raises DomainError: a library is missing."""


def split_named(name: object) -> str:
    """Return the split that a name of a part stands for, or ""."""
    return SPLITS.get(name.strip().casefold(), "") if isinstance(name, str) else ""
