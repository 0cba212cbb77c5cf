"""Converts a frozen TensorFlow graph to TensorFlow Lite, in a process of its own with limits.

    convert_graph(data)                 in a worker or a command
    python -m training.frozen_graphs    the process, which alone loads TensorFlow

The operators are read from the graph before anything is made of it: only those of networks for
pictures, and no functions. Nothing of the graph is run; the converter folds constants, which is why
the process has limits.
"""

import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from common import limited_processes
from common.errors import InvalidInput
from common.limited_processes import ProcessFailed

SECONDS = 240  # of cores; TensorFlow alone takes some of them to load
WAIT_SECONDS = 300
MEMORY_BYTES = 12 * 2**30  # of addresses, which TensorFlow takes more of than of memory
FILE_BYTES = 400_000_000
MOST_SIDE = 1024  # pixels of an input
MOST_NODES = 50_000
MOST_DETAIL = 300
# What Custom Vision calls the output of its graphs; else the only node that feeds no other
OUTPUTS = ("loss", "model_output", "model_outputs")
# By a node of such a name a graph subtracts the mean itself. Those exported before May 2018 have
# none: README of Microsoft's "cognitive-services-android-customvision-sample", section
# "Compatibility".
NORMALIZATIONS = ("data_bn", "BatchNorm1")

_OPERATORS = """
Abs Add AddV2 AvgPool BatchMatMulV2 BiasAdd Cast Ceil ConcatV2 Const Conv2D DepthwiseConv2dNative
Div Elu Exp ExpandDims Fill Floor FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 GatherV2 Identity
LRN LeakyRelu Log LogSoftmax MatMul Max MaxPool Maximum Mean Min Minimum MirrorPad Mul Neg Pack Pad
PadV2 Placeholder PlaceholderWithDefault Pow RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear
ResizeNearestNeighbor Rsqrt Selu Shape Sigmoid Slice Softmax Softplus SpaceToDepth Split SplitV Sqrt
Square SquaredDifference Squeeze StopGradient StridedSlice Sub Sum Tanh Tile Transpose Unpack
"""
OPERATORS = frozenset(_OPERATORS.split())


class CannotConvert(InvalidInput):
    """This graph does not become a TensorFlow Lite model."""

    code = "cannot_convert_graph"


class _Refused(Exception):
    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class ConvertedGraph:
    """A TensorFlow Lite model, and whether the graph subtracts the mean of pictures itself."""

    model: bytes
    normalizes: bool


def convert_graph(data: bytes) -> ConvertedGraph:
    """Return a frozen graph as TensorFlow Lite.

    Raises:
        CannotConvert: with a sentence that says what is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="classifr-graph-") as folder:
        source, target = Path(folder) / "model.pb", Path(folder) / "model.tflite"
        source.write_bytes(data)
        try:
            answer = limited_processes.ask(
                "training.frozen_graphs", {}, str(source), str(target), wait_seconds=WAIT_SECONDS
            )
        except ProcessFailed as error:
            raise _refusal(error.reason, "") from error
        if "refused" in answer:
            raise _refusal(str(answer["refused"]), str(answer.get("detail", ""))[:MOST_DETAIL])
        return ConvertedGraph(target.read_bytes(), bool(answer.get("normalizes")))


def _refusal(code: str, detail: str) -> CannotConvert:
    sentences = {
        "not_a_graph": _("The model is no frozen TensorFlow graph. Export it again."),
        "unknown_operator": _(
            "The graph uses operators that are not allowed here: %(detail)s. Export the same "
            "iteration as TensorFlow Lite or ONNX."
        ),
        "layout": _(
            "The graph is not laid out as Custom Vision's are (%(detail)s). Export the same "
            "iteration as TensorFlow Lite or ONNX."
        ),
        "too_slow": _(
            "Converting the graph took too long. Export the same iteration as TensorFlow Lite or "
            "ONNX."
        ),
        "crashed": _(
            "The graph could not be converted. Export the same iteration as TensorFlow Lite or "
            "ONNX."
        ),
    }
    return CannotConvert(sentences.get(code, sentences["crashed"]) % {"detail": detail}, code=code)


def _examine(graph: Any) -> tuple[str, list[int], str]:
    """Return the input's name and shape, and the output's name. Raises _Refused."""
    nodes = list(graph.node)
    if not nodes or len(nodes) > MOST_NODES:
        raise _Refused("not_a_graph")
    if graph.library.function or graph.library.gradient:
        raise _Refused("unknown_operator", "function")
    if unknown := sorted({node.op for node in nodes} - OPERATORS):
        raise _Refused("unknown_operator", _printable(unknown[:5]))
    inputs = [node for node in nodes if node.op == "Placeholder"]
    if len(inputs) != 1:
        raise _Refused("layout", _printable(node.name for node in inputs[:5]))
    sides = [dimension.size for dimension in inputs[0].attr["shape"].shape.dim]
    if len(sides) != 4 or sides[3] != 3 or not all(0 < side <= MOST_SIDE for side in sides[1:3]):
        raise _Refused("layout", f"{sides}")
    feeding = {name.lstrip("^").partition(":")[0] for node in nodes for name in node.input}
    names = {node.name for node in nodes}
    leaves = [node.name for node in nodes if node.name not in feeding and node.op != "Const"]
    known = [name for name in OUTPUTS if name in names]
    outputs = known[:1] or leaves
    if len(outputs) != 1:
        raise _Refused("layout", _printable(leaves[:5]))
    return inputs[0].name, [1, *sides[1:]], outputs[0]


def _printable(names: Iterable[str]) -> str:
    text = ", ".join(names)[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _convert(source: Path, target: Path) -> dict[str, Any]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import tensorflow

    graph = tensorflow.compat.v1.GraphDef()
    try:
        graph.ParseFromString(source.read_bytes())
    except Exception as error:  # protobuf's own, which differ between its implementations
        raise _Refused("not_a_graph") from error
    name, shape, output = _examine(graph)
    make = tensorflow.compat.v1.lite.TFLiteConverter.from_frozen_graph
    converter = make(str(source), [name], [output], {name: shape})
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS]
    target.write_bytes(converter.convert())
    return {"normalizes": any(mark in node.name for node in graph.node for mark in NORMALIZATIONS)}


def main() -> None:
    """Convert the file that the first argument names into the one that the second names."""
    limited_processes.limit_this_process(
        memory_bytes=MEMORY_BYTES, core_seconds=SECONDS, file_bytes=FILE_BYTES
    )
    limited_processes.read_question()
    try:
        answer = _convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except _Refused as error:
        answer = {"refused": error.code, "detail": error.detail}
    limited_processes.write_answer(answer)


if __name__ == "__main__":
    main()
