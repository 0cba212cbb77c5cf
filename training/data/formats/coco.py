"""COCO: a JSON file with images, categories and annotations, and the pictures beside it.

For classification an annotation names the category of its image. Boxes and outlines of one category
say the same; where an image has several, that is for a project whose categories do not exclude each
other. What datumaro, Roboflow and FiftyOne write differs in where the pictures lie.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from django.utils.translation import gettext as _

from common.errors import InvalidInput
from predictions.models import Project
from training.data.formats import json_items
from training.data.formats.archives import ArchiveWriter, Later, sample_name
from training.data.formats.base import (
    MAX_SAMPLES,
    SPLITS,
    DatasetFormat,
    DatasetWriter,
    Entry,
    ExportedSample,
    ExportPlan,
    Listing,
    Reading,
    described,
    split_named,
)
from training.data.formats.trees import FileTree, TreeFile

_LOOKED_AT = 64 * 1024
_MARK = re.compile(rb'"(?:images|annotations|categories)"\s*:\s*\[')
_MOST_FILES = 50
_WORDS = re.compile(r"[^a-z]+")
_OUT = "annotations/labels.json"


@dataclass
class _Labels:
    """One JSON file, as far as it is needed."""

    file: TreeFile
    split: str
    images: dict[Any, dict[str, Any]] = field(default_factory=dict)
    categories: dict[Any, str] = field(default_factory=dict)
    shown: dict[Any, dict[Any, None]] = field(default_factory=dict)  # image -> its categories


class Coco(DatasetFormat):
    alias, title, suffix = "coco", "COCO", "zip"
    modalities = (Project.Modality.IMAGE,)
    takes_several = True

    def recognises(self, tree: FileTree, reading: Reading) -> bool:
        return bool(_label_files(tree))

    def read(self, tree: FileTree, reading: Reading) -> Listing:
        found = [_read_labels(tree, file) for file in _label_files(tree)]
        with_images = [labels for labels in found if labels.images]
        if not with_images:
            raise InvalidInput(
                _("No JSON file in it has “images”, “categories” and “annotations”, as COCO has.")
            )
        return Listing(_entries(tree, with_images), sum(len(each.images) for each in with_images))

    def writer(self, out: IO[bytes], plan: ExportPlan) -> DatasetWriter:
        return _CocoWriter(out, plan)


def _label_files(tree: FileTree) -> list[TreeFile]:
    found = [file for file in tree.files if file.suffix == ".json"]
    found = sorted(found, key=lambda each: len(each.parts))[:_MOST_FILES]
    return [file for file in found if _looks_like_coco(file)]


def _looks_like_coco(file: TreeFile) -> bool:
    head = file.read(_LOOKED_AT).lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith(b"{") and bool(_MARK.search(head))


def _read_labels(tree: FileTree, file: TreeFile) -> _Labels:
    # instances_val2017.json, labels_train.json; or a folder of a split with the pictures in it
    words = [*_WORDS.split(file.path.rpartition("/")[2].casefold()), *file.parts[:-1]]
    split = next((SPLITS[word.casefold()] for word in words if word.casefold() in SPLITS), "")
    labels = _Labels(file, split)
    with tree.open(file) as opened:
        for member, value in json_items.elements(file.shown, opened):
            if not isinstance(value, dict):
                continue
            match member:
                case "images":
                    wanted = ("file_name", "split", "group", "capture")
                    kept = {name: value[name] for name in wanted if name in value}
                    labels.images[_key(value.get("id"))] = kept
                    if len(labels.images) > MAX_SAMPLES:
                        raise InvalidInput(_("The data set has too many entries."))
                case "categories":
                    labels.categories[_key(value.get("id"))] = str(value.get("name") or "")
                case "annotations":
                    image = _key(value.get("image_id"))
                    if len(labels.shown) > MAX_SAMPLES:
                        raise InvalidInput(_("The data set has too many entries."))
                    labels.shown.setdefault(image, {})[_key(value.get("category_id"))] = None
    return labels


def _key(value: Any) -> Any:
    """Return an id that can be looked up; numbers that came as text are the same."""
    return str(value) if isinstance(value, str | int | float) else None


def _entries(tree: FileTree, found: list[_Labels]) -> Iterator[Entry]:
    for name, problem in tree.problems:
        yield Entry(name, problem=problem)
    # The same image may be in a file of boxes and in one of labels
    told: dict[str, set[str]] = {}
    for labels in found:
        for key, image in labels.images.items():
            shown = labels.shown.get(key, {})
            entry = _entry(tree, labels, image, [labels.categories.get(each, "") for each in shown])
            names = set(entry.categories)
            if not entry.problem and told.setdefault(entry.name, names) is not names:
                if told[entry.name] == names:
                    continue
                entry = Entry(entry.name, problem=_("Two files say different things about it."))
            yield entry


def _entry(tree: FileTree, labels: _Labels, image: dict[str, Any], categories: list[str]) -> Entry:
    reference = image.get("file_name")
    if not isinstance(reference, str) or not reference:
        return Entry(labels.file.shown, problem=_("An image has no file name."))
    own = labels.file.path.rpartition("/")[0]
    above = own.rpartition("/")[0] if own else ""
    part = labels.file.path.rpartition("/")[2].removesuffix(".json").rpartition("_")[2]
    places = [own, above, f"{above}/images", f"{above}/images/{part}", f"{above}/{part}", "images"]
    file = tree.resolve(reference, *(place.lstrip("/") for place in places))
    if file is None:
        return Entry(reference[:200], problem=_("The picture is not in the archive."))
    if not categories or not all(categories):
        return Entry(file.shown, problem=_("It has no label."))
    split = split_named(image.get("split")) or labels.split
    group, capture = image.get("group"), image.get("capture")
    return described(Entry(file.shown, file.read, tuple(categories), split), group, capture)


class _CocoWriter(ArchiveWriter):
    """Pictures, and after them one JSON file about all of them."""

    def __init__(self, out: IO[bytes], plan: ExportPlan) -> None:
        super().__init__(out)
        self._images, self._annotations = Later(), Later()
        self._numbers = {name: number for number, name in enumerate(plan.categories, start=1)}

    def add(self, sample: ExportedSample) -> None:
        name = sample_name(sample)
        self.put(f"images/{name}", sample.data)
        number = self._images.count + 1
        width, height = sample.size
        image: dict[str, Any] = {"id": number, "file_name": name, "width": width, "height": height}
        # What COCO has no place for: other tools pass over it
        more = {"split": sample.split, "group": sample.group, "capture": dict(sample.conditions)}
        self._images.add(image | {key: value for key, value in more.items() if value})
        for category in sample.categories:
            self._annotations.add(
                {
                    "id": self._annotations.count + 1,
                    "image_id": number,
                    "category_id": self._numbers[category],
                    "iscrowd": 0,
                    "area": width * height,
                    "bbox": [0, 0, width, height],
                }
            )

    def close(self) -> None:
        self.put_text(_OUT, self._chunks())
        super().close()

    def _chunks(self) -> Iterator[bytes]:
        categories = Later()
        for name, number in self._numbers.items():
            categories.add({"id": number, "name": name, "supercategory": ""})
        start = b'{"info": {}, "licenses": [], '
        members = {
            "categories": categories,
            "images": self._images,
            "annotations": self._annotations,
        }
        for name, later in members.items():
            yield start + f'"{name}": [\n'.encode()
            yield from later.chunks()
            start = b"], "
        yield b"]}\n"
