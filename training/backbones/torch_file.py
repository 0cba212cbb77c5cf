"""Tensors from a file of PyTorch's old format, without PyTorch and without trusting the file.

Such a file is five pickles (a magic number, the version, facts about the machine, the tensors, the
keys of their storages), then, per key, a count and the numbers. A pickle can call anything that
Python can import; this reader knows two callables, and both only note what is wanted.

Source: `torch.serialization._legacy_save`.
"""

import io
import math
import pickle
import pickletools
import struct
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
STORAGE_TYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
MAX_DIMENSIONS = 8
# What `_legacy_save` writes for a dictionary of tensors, and no more
OPERATIONS = (
    "PROTO STOP MARK NONE NEWTRUE NEWFALSE LONG1 BININT BININT1 BININT2 BINUNICODE BINPUT "
    "LONG_BINPUT BINGET LONG_BINGET EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND "
    "APPENDS EMPTY_DICT SETITEM SETITEMS GLOBAL REDUCE BUILD BINPERSID"
)


class UnreadableTorchFile(Exception):
    """This is no file of the old format, it is damaged, or it asks for more than tensors."""


# Both are tuples and no data classes: a pickle may set whatever an object of its own lets it set
class _Storage(NamedTuple):
    """A run of numbers that the file has further on."""

    key: str
    kind: str  # one of the values of STORAGE_TYPES
    length: int


class _Placement(NamedTuple):
    """Where in a storage a tensor's numbers lie; offset and strides are in numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def check(self) -> None:
        """Raise UnreadableTorchFile unless all of it is in the storage."""
        lengths = (*self.shape, *self.strides)
        if (
            not isinstance(self.storage, _Storage)
            or not all(type(each) is int and each >= 0 for each in (self.offset, *lengths))
            or len(self.shape) != len(self.strides)
            or len(self.shape) > MAX_DIMENSIONS
        ):
            raise UnreadableTorchFile("A tensor is placed by something else than numbers.")
        last = self.offset + sum(
            (length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True)
        )
        # No more numbers than there are: a stride of 0 would make a few into any amount
        if not 0 < math.prod(self.shape) <= self.storage.length or last >= self.storage.length:
            raise UnreadableTorchFile("A tensor reaches beyond its storage.")

    def read_from(self, numbers: bytes) -> np.ndarray:
        dtype = np.dtype(self.storage.kind)
        strides = tuple(stride * dtype.itemsize for stride in self.strides)
        # Not `as_strided`: this one looks at the bounds again
        return np.ndarray(self.shape, dtype, numbers, self.offset * dtype.itemsize, strides)


def read_tensors(data: bytes) -> dict[str, np.ndarray]:
    """Return the tensors of a dictionary that was saved, by name, as read-only arrays.

    Raises:
        UnreadableTorchFile: anything is not as the format has it, or anything is left over.
    """
    stream = io.BytesIO(data)
    if _unpickle(stream) != MAGIC_NUMBER or _unpickle(stream) != PROTOCOL:
        raise UnreadableTorchFile("This is no file of PyTorch's old format.")
    machine = _unpickle(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise UnreadableTorchFile("Only files of little-endian machines are read.")
    storages: dict[str, _Storage] = {}
    tensors = _unpickle(stream, storages)
    keys = _unpickle(stream)
    if not isinstance(tensors, dict) or not isinstance(keys, list):
        raise UnreadableTorchFile("The file holds something else than a dictionary of tensors.")
    if not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise UnreadableTorchFile("The file's storages are not those that its tensors lie in.")
    numbers = {key: _read_numbers(stream, storages[key]) for key in keys}
    if stream.read(1):
        raise UnreadableTorchFile("The file goes on after its last storage.")
    result = {}
    # Not `tensors.items()`: an attribute that the pickle set may hide the method
    for name, placement in dict.items(tensors):
        if not isinstance(name, str) or not isinstance(placement, _Placement):
            raise UnreadableTorchFile("The file holds something else than named tensors.")
        result[name] = placement.read_from(numbers[placement.storage.key])
    return result


def _unpickle(stream: io.BytesIO, storages: dict[str, _Storage] | None = None) -> Any:
    """Read the next pickle; only one that is given `storages` may refer to storages and tensors."""
    start = stream.tell()
    try:
        for operation, argument, position in pickletools.genops(stream):
            if operation.name not in OPERATIONS.split():
                raise UnreadableTorchFile(f"A pickle uses the operation {operation.name}.")
            # The unpickler makes room for as many objects as the largest number says
            if operation.name == "LONG_BINPUT" and (argument or 0) > (position or 0):
                raise UnreadableTorchFile("A pickle numbers its objects in leaps.")
        end = stream.tell()
        stream.seek(start)
        return _RestrictedUnpickler(io.BytesIO(stream.read(end - start)), storages).load()
    except UnreadableTorchFile:
        raise
    # A damaged pickle may raise anything, as the documentation of `pickle` says
    except Exception as error:
        raise UnreadableTorchFile(f"A pickle cannot be read: {error}") from error


class _RestrictedUnpickler(pickle.Unpickler):
    """Knows what a dictionary of tensors consists of, and refuses everything else."""

    def __init__(self, file: io.BytesIO, storages: dict[str, _Storage] | None) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        known: Mapping[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _placing(),
            # Strings, as a pickle may try to change what it is given
            **{("torch", name): kind for name, kind in STORAGE_TYPES.items()},
        }
        if self._storages is None or (module, name) not in known:
            raise UnreadableTorchFile(f"A pickle asks for {module}.{name}.")
        return known[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        if self._storages is None:
            raise UnreadableTorchFile("A pickle refers to a storage before there are any.")
        word, kind, key, _location, length, view = pid
        fits = word == "storage" and kind in STORAGE_TYPES.values() and view is None
        if not fits or type(key) is not str or type(length) is not int or length < 0:
            raise UnreadableTorchFile("A storage is not described as the format has it.")
        storage = _Storage(key, kind, length)
        if self._storages.setdefault(key, storage) != storage:
            raise UnreadableTorchFile("Two storages have the same key.")
        return storage


def _placing() -> Callable[..., _Placement]:
    """Return what stands for torch's function: a new one each time, for the same reason."""

    def place(
        storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any, hooks: Any
    ) -> _Placement:
        placement = _Placement(storage, offset, tuple(shape), tuple(strides))
        placement.check()
        return placement

    return place


def _read_numbers(stream: io.BytesIO, storage: _Storage) -> bytes:
    prefix = stream.read(8)
    if len(prefix) < 8 or struct.unpack("<q", prefix)[0] != storage.length:
        raise UnreadableTorchFile("A storage does not have as many numbers as its tensors say.")
    size = storage.length * np.dtype(storage.kind).itemsize
    if size > sys.maxsize or len(numbers := stream.read(size)) < size:
        raise UnreadableTorchFile("The file ends within a storage.")
    return numbers
