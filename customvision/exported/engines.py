"""Runs an exported model: LiteRT for TensorFlow Lite, ONNX Runtime for ONNX."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from customvision.exported.refusals import Refused

TFLITE, ONNX = "tflite", "onnx"
MOST_SIDE = 1024  # pixels of an input


class Engine(ABC):
    """A model in memory; thread-safe. `width` and `height` are those of its input in pixels."""

    width: int
    height: int
    is_uint8: bool

    @abstractmethod
    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Return the outputs for one picture.

        Args:
            pixels: float32, shape (height, width, 3).

        Returns:
            float32, shape (K,), in the order of the labels.

        Raises:
            RuntimeError, ValueError: the engine failed.
        """


class LiteRtModel(Engine):
    """A TensorFlow Lite model. It can do one thing at a time, so callers wait for their turn."""

    def __init__(self, path: Path, labels: Sequence[str], *, threads: int) -> None:
        """Load a model. Raises Refused for one that takes or gives something else."""
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        shape = [int(side) for side in inputs[0]["shape"]] if len(inputs) == 1 else []
        kinds = (np.float32, np.uint8)
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or inputs[0]["dtype"] not in kinds:
            raise Refused("input", f"{shape}")
        self.height, self.width = _checked_sides(shape[1], shape[2])
        self.is_uint8 = inputs[0]["dtype"] is np.uint8
        shapes = [[int(side) for side in each["shape"]] for each in outputs]
        is_row = len(outputs) == 1 and shapes[0][-1:] == [len(labels)]
        if not is_row or outputs[0]["dtype"] is not np.float32:
            raise Refused("output", ", ".join(map(str, shapes)))
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._turn = threading.Lock()

    def run(self, pixels: np.ndarray) -> np.ndarray:
        batch = pixels[np.newaxis].astype(np.uint8) if self.is_uint8 else pixels[np.newaxis]
        with self._turn:
            self._interpreter.set_tensor(self._input, batch)
            self._interpreter.invoke()
            return np.asarray(self._interpreter.get_tensor(self._output)).reshape(-1)


class OnnxModel(Engine):
    """An ONNX model, in either form of Custom Vision's exports.

    Newer ones give a row of probabilities; older ones a map from label to probability (`loss`,
    beside the most probable `classLabel`).
    """

    def __init__(self, path: Path, labels: Sequence[str], *, threads: int) -> None:
        """Load a model. Raises Refused for one that takes or gives something else."""
        try:
            import onnxruntime
        except ImportError as error:
            raise Refused("no_engine") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # From bytes: a path would let the model read other files beside it
        try:
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own exceptions have no base but this one
            raise Refused("engine", str(error)[:200]) from error
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if len(inputs) == 1 else []
        kinds = {
            "tensor(float)": np.float32,
            "tensor(float16)": np.float16,
            "tensor(uint8)": np.uint8,
        }
        if len(shape) != 4 or inputs[0].type not in kinds or 3 not in (shape[1], shape[3]):
            raise Refused("input", f"{shape}")
        self._kind = kinds[inputs[0].type]
        self.is_uint8 = self._kind is np.uint8
        self._is_nchw = shape[1] == 3
        self.height, self.width = _checked_sides(*(shape[2:] if self._is_nchw else shape[1:3]))
        self._input = inputs[0].name
        outputs = self._session.get_outputs()
        maps = [each.name for each in outputs if each.type.startswith("seq(map(string")]
        rows = [each.name for each in outputs if each.type in ("tensor(float)", "tensor(float16)")]
        self._labels = list(labels)
        self._is_map = bool(maps)
        named = maps or rows
        if len(named) != 1:
            raise Refused("output", ", ".join(f"{each.type} {each.shape}" for each in outputs))
        self._output = named[0]

    def run(self, pixels: np.ndarray) -> np.ndarray:
        batch = (pixels.transpose(2, 0, 1) if self._is_nchw else pixels)[np.newaxis]
        try:
            (found,) = self._session.run(
                [self._output], {self._input: np.ascontiguousarray(batch, dtype=self._kind)}
            )
        except Exception as error:  # its own exceptions have no base but this one
            raise RuntimeError(str(error)) from error
        row = self._of_map(found) if self._is_map else np.asarray(found, np.float32)
        return row.reshape(-1)

    def _of_map(self, found: Any) -> np.ndarray:
        by_label = {name.strip(): value for name, value in found[0].items()}
        if set(by_label) != set(self._labels):
            raise ValueError("The model names other labels.")
        return np.array([by_label[name] for name in self._labels], dtype=np.float32)


def load_engine(kind: str, path: Path, labels: Sequence[str], *, threads: int) -> Engine:
    """Load a model of one of the two kinds.

    Raises:
        Refused: it takes or gives something else than a picture and probabilities.
        RuntimeError, ValueError: the engine cannot load it.
    """
    model = {TFLITE: LiteRtModel, ONNX: OnnxModel}[kind]
    return model(path, labels, threads=threads)


def _checked_sides(height: Any, width: Any) -> tuple[int, int]:
    sides = (height, width)
    if not all(isinstance(side, int) and 0 < side <= MOST_SIDE for side in sides):
        raise Refused("input", f"{height} x {width}")
    return height, width
