import contextlib
import io
import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.backbones import torch_file
from training.backbones.torch_file import UnreadableTorchFile, read_tensors

FLOATS = np.arange(12, dtype="<f4")
LONGS = np.array([7], dtype="<i8")
MACHINE = {"protocol_version": 1001, "little_endian": True}


class Named:
    """Pickled as a global of any name, whether there is such a module or not."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Storage:
    def __init__(self, key: str, kind: str, count: Any, view: Any = None) -> None:
        self.pid = ("storage", Named("torch", kind), key, "cpu", count, view)


class Called:
    """Pickled as a call, which a reader would make."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments


class Changed:
    """Pickled as an object whose state is set afterwards."""

    def __init__(self, value: Any, state: Any) -> None:
        self.value, self.state = value, state


class Pickler(pickle._Pickler):  # the C one has no way to write a global that is not there
    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, Storage) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Called):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        elif isinstance(obj, Changed):
            self.save(obj.value)
            self.save(obj.state)
            self.write(pickle.BUILD)
        else:
            super().save(obj, save_persistent_id)


def pickled(value: Any, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    Pickler(buffer, protocol).dump(value)
    return buffer.getvalue()


def tensor(
    storage: Any, shape: Sequence[int], strides: Sequence[int], offset: Any = 0, *more: Any
) -> Called:
    rebuild = Named("torch._utils", "_rebuild_tensor_v2")
    return Called(
        rebuild, storage, offset, tuple(shape), tuple(strides), False, OrderedDict(), *more
    )


def floats(**fields: Any) -> Storage:
    return Storage(**({"key": "1", "kind": "FloatStorage", "count": 12} | fields))


def plain_tensors() -> dict[str, Any]:
    # Transposed, as those of torch may be, and a number that shares the storage
    return OrderedDict(
        matrix=tensor(floats(), (3, 4), (1, 3)),
        number=tensor(floats(), (), (), 5),
        steps=tensor(Storage("2", "LongStorage", 1), (1,), (1,)),
    )


def torch_bytes(
    tensors: Any = None,
    *,
    magic: Any = torch_file.MAGIC_NUMBER,
    version: Any = 1001,
    machine: Any = MACHINE,
    keys: Any = ("1", "2"),
    counts: Sequence[int] = (12, 1),
    end: bytes = b"",
) -> bytes:
    """Return a file with these parts, a good one without any."""
    head = (magic, version, machine, plain_tensors() if tensors is None else tensors, list(keys))
    body = (
        struct.pack("<q", count) + numbers.tobytes()
        for count, numbers in zip(counts, (FLOATS, LONGS), strict=True)
    )
    return b"".join([*map(pickled, head), *body, end])


GOOD = torch_bytes()


class TestReading:
    def test_tensors_have_their_names_shapes_and_numbers(self):
        tensors = read_tensors(GOOD)
        assert tensors.keys() == {"matrix", "number", "steps"}
        assert (tensors["matrix"] == FLOATS.reshape(4, 3).T).all()
        assert (tensors["number"].shape, float(tensors["number"])) == ((), 5.0)
        assert (tensors["steps"].dtype, tensors["steps"].tolist()) == (np.int64, [7])

    def test_attributes_of_the_dictionary_change_nothing(self):
        """PyTorch writes one, `_metadata`; another could hide a method."""
        tensors = plain_tensors()
        tensors.other = OrderedDict()
        hidden = torch_bytes(tensors).replace(b"other", b"items")
        assert b"items" in hidden
        assert read_tensors(hidden).keys() == {"matrix", "number", "steps"}

    def test_nobody_writes_into_what_others_read_too(self):
        with pytest.raises(ValueError, match="read-only"):
            read_tensors(GOOD)["matrix"][:] = 0


def refused(data: bytes, reason: str = ".") -> None:
    with pytest.raises(UnreadableTorchFile, match=reason):
        read_tensors(data)


class TestHostilePickles:
    @pytest.mark.parametrize(
        "name",
        [
            ("os", "system"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("torch", "load"),
            ("torch", "DoubleStorage"),
            ("torch._utils", "_rebuild_parameter"),
            ("collections", "OrderedDict.fromkeys"),
            ("collections", "defaultdict"),
        ],
    )
    @pytest.mark.parametrize("part", ["magic", "version", "machine", "tensors", "keys"])
    def test_no_other_global_is_found_in_any_part(self, tmp_path, name, part):
        called = Called(Named(*name), f"touch {tmp_path}/here")
        value = [called] if part == "keys" else called
        refused(torch_bytes(**{part: value}), f"asks for {name[0]}.{name[1]}")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("protocol", [0, 4, 5])
    def test_what_calls_in_another_way_is_refused(self, tmp_path, protocol):
        class Call:
            def __reduce__(self) -> tuple[Callable, tuple[str]]:
                return os.system, (f"touch {tmp_path}/here",)

        head = b"".join(map(pickled, (torch_file.MAGIC_NUMBER, 1001, MACHINE)))
        refused(head + pickle.dumps(Call(), protocol), "uses the operation")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("pair", [False, True])
    @pytest.mark.parametrize(
        "value",
        [
            tensor(floats(), (3,), (1,)),
            floats(),
            Named("torch", "FloatStorage"),
            Named("collections", "OrderedDict"),
        ],
    )
    def test_no_state_changes_what_was_checked(self, value, pair):
        state = {"offset": 10**6, "storage": 1, "length": 10**6, "key": "2", "__module__": "os"}
        # The second of a pair is set attribute by attribute, where there is no dictionary
        wrong = {"matrix": Changed(value, (None, state) if pair else state)}
        refused(torch_bytes({**plain_tensors(), **wrong}), "cannot be read")

    def test_a_function_that_is_spoiled_is_of_no_use_to_the_next_file(self):
        rebuild = tensor(floats(), (3,), (1,))
        rebuild.function = Changed(rebuild.function, (None, {"__defaults__": (1,), "word": 1}))
        with contextlib.suppress(UnreadableTorchFile):
            read_tensors(torch_bytes({**plain_tensors(), "matrix": rebuild}))
        refused(torch_bytes({"matrix": Called(Named("torch._utils", "_rebuild_tensor_v2"))}))

    def test_numbers_with_a_fraction_have_no_use_here(self):
        refused(torch_bytes(machine=1.5), "uses the operation BINFLOAT")

    def test_a_leap_in_the_numbers_of_objects_takes_no_memory(self):
        refused(b"\x80\x02K\x01r\xff\xff\xff\x7f.", "in leaps")


class TestFalseTensors:
    @pytest.mark.parametrize(
        ("shape", "strides", "offset"),
        [
            ((13,), (1,), 0),
            ((12,), (1,), 1),
            ((3, 4), (1, 4), 0),
            ((2,), (12,), 0),
            ((1,), (1,), 12),
            ((0,), (1,), 0),
            ((10**6,), (0,), 0),
            ((13,), (0,), 0),
        ],
    )
    def test_none_reaches_beyond_its_storage(self, shape, strides, offset):
        wrong = {**plain_tensors(), "matrix": tensor(floats(), shape, strides, offset)}
        refused(torch_bytes(wrong), "beyond its storage")

    @pytest.mark.parametrize(
        ("shape", "strides", "offset"),
        [
            ((-3,), (1,), 0),
            ((3,), (-1,), 5),
            ((3,), (1,), -1),
            ((3,), (1, 1), 0),
            ((3,), (True,), 0),
            ((3,), (1,), "0"),
            ((1,) * 9, (1,) * 9, 0),
        ],
    )
    def test_none_is_placed_by_nonsense(self, shape, strides, offset):
        wrong = {**plain_tensors(), "matrix": tensor(floats(), shape, strides, offset)}
        refused(torch_bytes(wrong), "something else than numbers")

    def test_none_lies_in_what_is_no_storage(self):
        wrong = {**plain_tensors(), "matrix": tensor("1", (3,), (1,))}
        refused(torch_bytes(wrong), "something else than numbers")

    def test_none_has_too_many_arguments(self):
        wrong = {**plain_tensors(), "matrix": tensor(floats(), (3,), (1,), 0, "more")}
        refused(torch_bytes(wrong), "cannot be read")

    @pytest.mark.parametrize("wrong", [{"matrix": 3}, {3: tensor(floats(), (3,), (1,))}])
    def test_only_named_tensors_are_read(self, wrong):
        refused(torch_bytes({**plain_tensors(), **wrong}), "something else than named tensors")

    @pytest.mark.parametrize("wrong", [3, [], "text", None])
    def test_only_a_dictionary_is_read(self, wrong):
        data = torch_bytes([wrong] if wrong is None else wrong, keys=())
        refused(data, "something else than a dictionary")


class TestFalseStorages:
    @pytest.mark.parametrize("fields", [{"count": -1}, {"count": "12"}, {"view": ("1", 0, 3)}])
    def test_each_is_described_as_the_format_has_it(self, fields):
        wrong = {**plain_tensors(), "other": tensor(floats(**fields), (3,), (1,))}
        refused(torch_bytes(wrong), "not described as the format has it")

    def test_a_key_means_one_storage(self):
        wrong = {**plain_tensors(), "other": tensor(floats(count=3), (3,), (1,))}
        refused(torch_bytes(wrong), "the same key")

    @pytest.mark.parametrize("keys", [("1",), ("1", "3"), ("1", "2", "2"), ("1", 2)])
    def test_there_is_none_too_many_and_none_too_few(self, keys):
        refused(torch_bytes(keys=keys), "not those that its tensors lie in")

    @pytest.mark.parametrize("counts", [(11, 1), (13, 1), (12, -1), (2**62, 1)])
    def test_each_has_as_many_numbers_as_was_said(self, counts):
        refused(torch_bytes(counts=counts), "as many numbers")


class TestFalseFiles:
    @pytest.mark.parametrize("fields", [{"magic": 1}, {"version": 1002}])
    def test_the_format_is_looked_at(self, fields):
        refused(torch_bytes(**fields), "no file of PyTorch's old format")

    @pytest.mark.parametrize("machine", [{}, {"little_endian": False}, []])
    def test_numbers_the_other_way_round_are_not_read(self, machine):
        refused(torch_bytes(machine=machine), "little-endian")

    @pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80", b"\x80\x02}."])
    def test_other_files_are_refused(self, data):
        refused(data)

    def test_nothing_comes_after_the_last_storage(self):
        refused(torch_bytes(end=b"\0"), "goes on")

    @given(st.integers(0, len(GOOD) - 1))
    def test_a_part_of_a_file_is_no_file(self, length):
        refused(GOOD[:length])

    @given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=4))
    def test_a_changed_file_gives_tensors_or_is_refused(self, place, other):
        try:
            tensors = read_tensors(GOOD[:place] + other + GOOD[place + len(other) :])
        except UnreadableTorchFile:
            return
        for values in tensors.values():
            assert values.size <= len(FLOATS)
