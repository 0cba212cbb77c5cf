"""Parquet as Hugging Face's datasets writes it: an image or a text, and a label, in each row.

An image is a struct of `bytes` and `path`; a label is a number whose name is in the schema's
metadata, or text. Rows are read and written in small batches, so neither side holds a file.
pyarrow is an extra: see README.md.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import IO, Any

from django.utils.translation import gettext as _

from common.errors import InvalidInput
from training.data.formats.archives import sample_name
from training.data.formats.base import (
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

PYARROW = "pyarrow==26.0.1"
_ROWS = 16  # read at once
_WRITTEN_BYTES = 8_000_000  # about, of a row group
_MAX_GROUP_BYTES = 8_000_000_000  # of one row group, unpacked, as its metadata says
_MAX_PACKED_BYTES = 4_000_000_000  # of a file in an archive, which is copied to a disk
_MAX_SCHEMA_BYTES = 16_000_000
_IMAGE_COLUMNS = ("image", "img", "picture", "photo")
_TEXT_COLUMNS = ("text", "content", "sentence", "message")
_LABEL_COLUMNS = ("label", "labels", "category", "class", "target", "fine_label")
_HUGGING_FACE = b"huggingface"
_WORDS = re.compile(r"[^a-z]+")


class Parquet(DatasetFormat):
    alias, title, suffix = "parquet", "Parquet", "parquet"
    media_type = "application/vnd.apache.parquet"

    def recognises(self, tree: FileTree, reading: Reading) -> bool:
        return bool(_parquet_files(tree))

    def read(self, tree: FileTree, reading: Reading) -> Listing:
        arrow = _arrow()
        files = _parquet_files(tree)
        if not files:
            raise InvalidInput(_("It holds no Parquet file."))
        count = 0
        for file in files:
            with _opened(arrow, tree, file) as table:
                _columns(table, reading, file)
                count += table.metadata.num_rows
        if count > MAX_SAMPLES:
            raise InvalidInput(_("The data set has too many entries."))
        return Listing(_entries(arrow, tree, files, reading), count)

    def writer(self, out: IO[bytes], plan: ExportPlan) -> DatasetWriter:
        return _ParquetWriter(_arrow(), out, plan)


def _arrow() -> ModuleType:
    """Return pyarrow, which is large and an extra. Raises InvalidInput where it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InvalidInput(
            _("Parquet needs a library that is not there. Install it: pip install %(name)s")
            % {"name": PYARROW}
        ) from error
    return pyarrow


def _parquet_files(tree: FileTree) -> list[TreeFile]:
    return [file for file in tree.files if file.suffix == ".parquet"]


@contextmanager
def _opened(arrow: ModuleType, tree: FileTree, file: TreeFile) -> Iterator[Any]:
    """Open a file of a tree for reading by row groups; a damaged one is refused."""
    with _seekable(tree, file) as source:
        try:
            table = arrow.parquet.ParquetFile(
                source,
                pre_buffer=False,
                buffer_size=1 << 20,
                thrift_string_size_limit=_MAX_SCHEMA_BYTES,
                thrift_container_size_limit=1_000_000,
            )
            metadata = table.metadata
            for number in range(metadata.num_row_groups):
                if metadata.row_group(number).total_byte_size > _MAX_GROUP_BYTES:
                    raise InvalidInput(_("One of its row groups is too large. Not taken."))
            yield table
        except (arrow.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
            sentence = _("%(path)s cannot be read: %(reason)s.")
            reason = str(error).partition("\n")[0][:200].rstrip(".")
            raise InvalidInput(sentence % {"path": file.shown, "reason": reason}) from error


@contextmanager
def _seekable(tree: FileTree, file: TreeFile) -> Iterator[IO[bytes]]:
    """Open a file that is read from its end; of an archive that would unpack it again and again."""
    with tree.open(file) as source:
        if not tree.is_archive:
            yield source
            return
        if file.size > _MAX_PACKED_BYTES:
            raise InvalidInput(_("One of its Parquet files is too large. Send it alone."))
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(source, copy)
            copy.seek(0)
            yield copy


def _columns(table: Any, reading: Reading, file: TreeFile) -> tuple[str, str]:
    """Return the columns of the sample and of its label. Raises InvalidInput without them."""
    arrow = _arrow()
    schema = table.schema_arrow
    wanted = _TEXT_COLUMNS if reading.is_of_texts else _IMAGE_COLUMNS
    content = next((name for name in wanted if name in schema.names), None)
    label = next((name for name in _LABEL_COLUMNS if name in schema.names), None)
    if content is None or label is None:
        sentence = _("%(path)s needs the columns “%(first)s” and “label”; it has %(names)s.")
        names = ", ".join(schema.names[:20])
        told = {"path": file.shown, "first": wanted[0], "names": names}
        raise InvalidInput(sentence % told)
    kind = schema.field(content).type
    fits = arrow.types.is_string(kind) or arrow.types.is_large_string(kind)
    if not reading.is_of_texts:
        fits = arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)
        if arrow.types.is_struct(kind):
            fits = kind.get_field_index("bytes") >= 0
    if not fits:
        sentence = _("The column “%(name)s” of %(path)s holds neither pictures nor texts.")
        raise InvalidInput(sentence % {"name": content, "path": file.shown})
    return content, label


def _class_names(table: Any, label: str) -> list[str]:
    """Return the names of the classes that numbers in the label column stand for."""
    metadata = table.schema_arrow.metadata or {}
    try:
        features = json.loads(metadata.get(_HUGGING_FACE, b"{}"))["info"]["features"]
        names = features[label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _entries(
    arrow: ModuleType, tree: FileTree, files: list[TreeFile], reading: Reading
) -> Iterator[Entry]:
    for name, problem in tree.problems:
        yield Entry(name, problem=problem)
    for file in files:
        # train-00000-of-00002.parquet, or a folder of the split
        words = [*_WORDS.split(file.path.rpartition("/")[2].casefold()), *file.parts[:-1]]
        split = next(filter(None, map(split_named, words)), "")
        with _opened(arrow, tree, file) as table:
            content, label = _columns(table, reading, file)
            names = _class_names(table, label)
            more = [
                name for name in ("split", "group", "capture") if name in table.schema_arrow.names
            ]
            number = 0
            for batch in table.iter_batches(
                batch_size=_ROWS, columns=[content, label, *more], use_threads=False
            ):
                for row in batch.to_pylist():
                    number += 1
                    entry = _entry(f"{file.shown}:{number}", row[content], row[label], names)
                    entry = described(entry, row.get("group"), _capture(row.get("capture")))
                    yield replace(entry, split=split_named(row.get("split")) or split)


def _entry(name: str, content: Any, label: Any, names: list[str]) -> Entry:
    data: Any = content
    if isinstance(content, dict):
        data, path = content.get("bytes"), content.get("path")
        if isinstance(path, str) and path:
            name = f"{name} ({path[:200]})"
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if not isinstance(data, bytes):
        return Entry(name, problem=_("Its picture is not in the file."))
    kept = data

    def read(limit: int) -> bytes:
        return kept[:limit]

    if isinstance(label, list) and len(label) == 1:
        label = label[0]
    if isinstance(label, bool) or label is None or label == "" or label == -1:
        return Entry(name, problem=_("It has no label."))
    if isinstance(label, int):
        if not names:
            # Numbers without names are what categories are called then
            return Entry(name, read, (str(label),))
        if not 0 <= label < len(names):
            return Entry(name, problem=_("Its label is a number that has no name."))
        return Entry(name, read, (names[label],))
    if isinstance(label, str):
        return Entry(name, read, (label,))
    return Entry(name, problem=_("Its label is neither a number nor a name."))


def _capture(value: Any) -> Any:
    """Return conditions as a mapping, which Parquet holds as a list of names and values."""
    if not isinstance(value, list):
        return None
    return {str(each.get("name")): each.get("value") for each in value if isinstance(each, dict)}


class _ParquetWriter(DatasetWriter):
    """One file, written a row group at a time."""

    def __init__(self, arrow: ModuleType, out: IO[bytes], plan: ExportPlan) -> None:
        self._arrow = arrow
        self._has_texts = plan.is_of_texts
        self._numbers = {name: number for number, name in enumerate(plan.categories)}
        text = arrow.string()
        picture = arrow.struct([("bytes", arrow.binary()), ("path", text)])
        pair = arrow.struct([("name", text), ("value", text)])
        self._content = "text" if self._has_texts else "image"
        value = {"dtype": "string", "_type": "Value"}
        features = {
            self._content: value if self._has_texts else {"_type": "Image"},
            "label": {"names": list(plan.categories), "_type": "ClassLabel"},
            "split": value,
            "group": value,
            "capture": [{"name": value, "value": value}],
        }
        told = json.dumps({"info": {"features": features}}, ensure_ascii=False)
        columns = [
            (self._content, text if self._has_texts else picture),
            ("label", arrow.int64()),
            ("split", text),
            ("group", text),
            ("capture", arrow.list_(pair)),
        ]
        self._schema = arrow.schema(columns, metadata={_HUGGING_FACE: told.encode()})
        self._sink = arrow.PythonFile(out, mode="w")
        self._writer = arrow.parquet.ParquetWriter(self._sink, self._schema)
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def add(self, sample: ExportedSample) -> None:
        content: Any = {"bytes": sample.data, "path": sample_name(sample)}
        if self._has_texts:
            content = sample.data.decode()
        capture = [{"name": name, "value": value} for name, value in sample.conditions.items()]
        # Hugging Face's number for what has no label
        label = self._numbers[sample.categories[0]] if sample.categories else -1
        self._rows.append(
            {
                self._content: content,
                "label": label,
                "split": sample.split,
                "group": sample.group,
                "capture": capture,
            }
        )
        self._bytes += len(sample.data) + 200
        if self._bytes > _WRITTEN_BYTES:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows, self._bytes = self._rows, [], 0
        if rows:
            self._writer.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))

    def close(self) -> None:
        self._flush()
        self._writer.close()
