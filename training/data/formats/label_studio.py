"""Label Studio: a JSON export of tasks whose annotations are choices, and the pictures beside it.

Addresses of pictures are never fetched: what a task names must be in the archive. Of texts the JSON
holds everything.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.utils.translation import gettext as _

from common.errors import InvalidInput
from training.data.formats import json_items
from training.data.formats.archives import ArchiveWriter, Later, sample_name
from training.data.formats.base import (
    CONTRADICTING,
    MAX_SAMPLES,
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
_MOST_FILES = 50
_OUT = "tasks.json"
_IMAGE_KEYS = ("image", "img", "picture", "photo", "url", "file")
_TEXT_KEYS = ("text", "texts", "content", "message", "body")
_UPLOAD_MARK = 8  # hexadecimal digits that Label Studio puts before the name of an upload


class LabelStudio(DatasetFormat):
    alias, title, suffix = "label_studio", "Label Studio", "zip"
    takes_several = True

    def recognises(self, tree: FileTree, reading: Reading) -> bool:
        return _task_file(tree) is not None

    def read(self, tree: FileTree, reading: Reading) -> Listing:
        file = _task_file(tree)
        if file is None:
            sentence = _("No JSON file in it is an export of Label Studio: a list of tasks.")
            raise InvalidInput(sentence)
        count = sum(1 for _task in _tasks(tree, file))
        if count > MAX_SAMPLES:
            raise InvalidInput(_("The data set has too many entries."))
        return Listing(_entries(tree, file, reading), count)

    def writer(self, out: IO[bytes], plan: ExportPlan) -> DatasetWriter:
        return _TaskWriter(out, plan)


def _task_file(tree: FileTree) -> TreeFile | None:
    found = [file for file in tree.files if file.suffix == ".json"]
    for file in sorted(found, key=lambda each: len(each.parts))[:_MOST_FILES]:
        head = file.read(_LOOKED_AT).lstrip(b"\xef\xbb\xbf \t\r\n")
        if head.startswith(b"[") and (b'"data"' in head or b'"annotations"' in head):
            return file
    return None


def _tasks(tree: FileTree, file: TreeFile) -> Iterator[Any]:
    with tree.open(file) as opened:
        for _member, task in json_items.elements(file.shown, opened):
            yield task


def _entries(tree: FileTree, file: TreeFile, reading: Reading) -> Iterator[Entry]:
    for name, problem in tree.problems:
        yield Entry(name, problem=problem)
    for number, task in enumerate(_tasks(tree, file), start=1):
        identity = task.get("id", number) if isinstance(task, dict) else number
        name = f"{file.shown}:{str(identity)[:40]}"
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            yield Entry(name, problem=_("The task has no data."))
            continue
        yield _entry(tree, file, reading, name, task)


def _entry(
    tree: FileTree, file: TreeFile, reading: Reading, name: str, task: dict[str, Any]
) -> Entry:
    data: dict[str, Any] = task["data"]
    said = _choices(task)
    reference = _reference(data, said, _TEXT_KEYS if reading.is_of_texts else _IMAGE_KEYS)
    if reference is None:
        problem = _("The task has no text.") if reading.is_of_texts else _("The task has no image.")
        return Entry(name, problem=problem)
    content = reference.encode("utf-8", "surrogatepass")
    read: Callable[[int], bytes] = partial(_beginning, content)
    if not reading.is_of_texts:
        found = _picture(tree, file, reference)
        if found is None:
            problem = _("The picture %(name)s is not in the archive.")
            return Entry(name, problem=problem % {"name": reference[:200]})
        name, read = found.shown, found.read
    kinds = {frozenset(choices) for choices, _to in said}
    if not kinds:
        return Entry(name, problem=_("It has no label."))
    if len(kinds) > 1:
        problem = _("Its annotators say different things: %(names)s.")
        names = ", ".join(f"“{each}”" for kind in kinds for each in sorted(kind))[:300]
        return Entry(name, problem=problem % {"names": names}, outcome=CONTRADICTING)
    meta = task["meta"] if isinstance(task.get("meta"), dict) else {}
    split = split_named(meta.get("split") or data.get("split"))
    entry = Entry(name, read, tuple(said[0][0]), split)
    return described(entry, meta.get("group"), meta.get("capture"))


def _beginning(content: bytes, limit: int) -> bytes:
    return content[:limit]


def _choices(task: dict[str, Any]) -> list[tuple[list[str], str]]:
    """Return what each annotator chose, and the name of the tag that it is said of."""
    found = []
    annotations = task.get("annotations") or task.get("completions") or []
    for annotation in annotations if isinstance(annotations, list) else []:
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        results = annotation.get("result")
        chosen: list[str] = []
        about = ""
        for result in results if isinstance(results, list) else []:
            value = result.get("value") if isinstance(result, dict) else None
            choices = value.get("choices") if isinstance(value, dict) else None
            if isinstance(choices, list):
                chosen += [each for each in choices if isinstance(each, str) and each not in chosen]
                about = str(result.get("to_name", ""))
        if chosen:
            found.append((chosen, about))
    return found


def _reference(
    data: dict[str, Any], said: list[tuple[list[str], str]], keys: tuple[str, ...]
) -> str | None:
    """Return what a task's image or text is: under a usual name, or else its only text."""
    for key in (*keys, *(about for _choices, about in said)):
        if isinstance(value := data.get(key), str) and value:
            return value
    texts = [value for value in data.values() if isinstance(value, str) and value]
    return texts[0] if len(texts) == 1 else None


def _picture(tree: FileTree, file: TreeFile, reference: str) -> TreeFile | None:
    parts = urlsplit(reference) if "://" in reference or reference.startswith("/data/") else None
    path = reference
    if parts is not None:
        # Of local files the path is in the query
        path = unquote(parse_qs(parts.query).get("d", [parts.path])[0] if parts else reference)
    own = file.path.rpartition("/")[0]
    names = [path]
    mark, dash, rest = path.rpartition("/")[2].partition("-")
    if dash and len(mark) == _UPLOAD_MARK and rest:
        names.append(rest)
    for name in names:
        if found := tree.resolve(name, own, f"{own}/images".lstrip("/")):
            return found
    return None


class _TaskWriter(ArchiveWriter):
    """Pictures, and after them the tasks; of texts the tasks alone."""

    def __init__(self, out: IO[bytes], plan: ExportPlan) -> None:
        super().__init__(out)
        self._tasks = Later()
        self._has_texts = plan.is_of_texts

    def add(self, sample: ExportedSample) -> None:
        key = "text" if self._has_texts else "image"
        if self._has_texts:
            value = sample.data.decode()
        else:
            value = f"images/{sample_name(sample)}"
            self.put(value, sample.data)
        choices = {"choices": list(sample.categories)}
        result = {"type": "choices", "from_name": "choice", "to_name": key, "value": choices}
        annotations = [{"result": [result], "was_cancelled": False}] if sample.categories else []
        more = {"split": sample.split, "group": sample.group, "capture": dict(sample.conditions)}
        self._tasks.add(
            {
                "id": self._tasks.count + 1,
                "data": {key: value},
                "annotations": annotations,
                "predictions": [],
                "meta": {name: told for name, told in more.items() if told},
            }
        )

    def close(self) -> None:
        self.put_text(_OUT, self._chunks())
        super().close()

    def _chunks(self) -> Iterator[bytes]:
        yield b"[\n"
        yield from self._tasks.chunks()
        yield b"]\n"
