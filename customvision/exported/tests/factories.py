"""What these tests are made of: small models that know colours, and archives around them."""

import hashlib
import io
import json
import zipfile
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

LABELS = ("blue", "green", "red")
SIZE = 16
SQUARE_RGB = {
    "CustomVision.Metadata.Version": "1.2",
    "CustomVision.Postprocess.Method": "ClassificationMultiClass",
    "CustomVision.Preprocess.CropHeight": "0",
    "CustomVision.Preprocess.CropMethod": "FullImageShorterSide",
    "CustomVision.Preprocess.CropWidth": "0",
    "CustomVision.Preprocess.NormalizeMean": "[0.0, 0.0, 0.0]",
    "CustomVision.Preprocess.NormalizeStd": "[1.0, 1.0, 1.0]",
    "CustomVision.Preprocess.ResizeMethod": "ByShorterSideAlign32",
    "CustomVision.Preprocess.TargetHeight": str(SIZE),
    "CustomVision.Preprocess.TargetWidth": str(SIZE),
    "Image.BitmapPixelFormat": "Rgb8",
    "Image.ColorSpaceGamma": "SRGB",
    "Image.NominalPixelRange": "Normalized_0_1",
}
# The weights turn the mean colour, in the order of the channels, into the labels' scores
FROM_BGR, FROM_RGB = np.eye(3), np.eye(3)[::-1]


def make_tflite(
    weights: np.ndarray = FROM_BGR,
    *,
    size: int = SIZE,
    activation: str = "SOFTMAX",
    custom: str = "",
    external: bool = False,
) -> bytes:
    """Return a TensorFlow Lite model: the mean colour times weights, then an activation.

    Args:
        activation: the builtin operator in the end.
        custom: a custom operator in place of that.
        external: refer to weights that are not in the file.
    """
    kinds, operators = schema.BuiltinOperator, []
    buffers = [schema.BufferT(), schema.BufferT(), schema.BufferT(), schema.BufferT()]
    buffers[1].data = np.array([1, 2], np.int32).view(np.uint8)
    buffers[2].data = (12 / 255 * np.asarray(weights, np.float32)).reshape(-1).view(np.uint8)
    if external:
        buffers[3].offset, buffers[3].size = 4096, 12
    tensors = [
        _tensor("input", [1, size, size, 3]),
        _tensor("axes", [2], buffer=1, kind=schema.TensorType.INT32),
        _tensor("mean", [1, 3]),
        _tensor("weights", list(np.shape(weights)), buffer=2),
        _tensor("logits", [1, len(weights)]),
        _tensor("model_output", [1, len(weights)]),
    ]
    codes = [_code(kinds.MEAN), _code(kinds.FULLY_CONNECTED)]
    codes.append(_code(kinds.CUSTOM, custom) if custom else _code(getattr(kinds, activation)))
    options = schema.BuiltinOptions
    operators = [
        _operator(0, [0, 1], [2], options.ReducerOptions, schema.ReducerOptionsT()),
        _operator(
            1, [2, 3, -1], [4], options.FullyConnectedOptions, schema.FullyConnectedOptionsT()
        ),
        _operator(2, [4], [5]),
    ]
    if activation == "SOFTMAX" and not custom:
        softmax = schema.SoftmaxOptionsT()
        softmax.beta = 1.0
        operators[2] = _operator(2, [4], [5], options.SoftmaxOptions, softmax)
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, [0], [5]
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, codes, [graph], buffers
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(name: str, shape: list[int], *, buffer: int = 0, kind: int = 0) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer, tensor.type = name, shape, buffer, kind
    return tensor


def _code(number: int, custom: str = "") -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
    code.customCode = custom or None
    return code


def _operator(
    code: int, inputs: list[int], outputs: list[int], kind: int = 0, options: Any = None
) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, outputs
    operator.builtinOptionsType, operator.builtinOptions = kind, options
    return operator


def make_onnx(
    weights: np.ndarray = FROM_BGR,
    *,
    metadata: dict[str, str] | None = None,
    operator: str = "Softmax",
    domain: str = "",
    external: bool = False,
    as_map: bool = False,
    factor: float = 12 / 255,
) -> bytes:
    """Return an ONNX model of the same kind; `as_map` as exports before 2019 have their outputs."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kernel = numpy_helper.from_array((factor * np.asarray(weights, np.float32)).T, "weights")
    if external:
        kernel.ClearField("raw_data")
        kernel.data_location = TensorProto.EXTERNAL
        kernel.external_data.add(key="location", value="../../secret")
    nodes = [
        helper.make_node("GlobalAveragePool", ["data"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node(operator, ["logits"], ["model_output"], domain=domain),
    ]
    row = helper.make_tensor_value_info("model_output", TensorProto.FLOAT, [None, len(weights)])
    outputs = [row]
    if as_map:
        zip_map = {"classlabels_strings": list(LABELS), "domain": "ai.onnx.ml"}
        nodes.append(helper.make_node("ZipMap", ["model_output"], ["loss"], **zip_map))
        floats = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
        kind = helper.make_sequence_type_proto(helper.make_map_type_proto(8, floats))
        outputs = [helper.make_value_info("loss", kind)]
    data = helper.make_tensor_value_info("data", TensorProto.FLOAT, [None, 3, SIZE, SIZE])
    graph = helper.make_graph(nodes, "colours", [data], outputs, [kernel])
    sets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)]
    if domain:
        sets.append(helper.make_opsetid(domain, 1))
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)
    helper.set_model_props(model, metadata or {})
    assert isinstance(model, onnx.ModelProto)
    return model.SerializeToString()


def make_archive(
    model: bytes | None = None,
    *,
    name: str = "model.tflite",
    labels: tuple[str, ...] | bytes = LABELS,
    properties: dict[str, Any] | None = None,
    manifest: dict[str, Any] | None = None,
    folder: str = "",
    others: dict[str, bytes] | None = None,
    dated: bool = True,
) -> bytes:
    """Return the ZIP of an export, as Custom Vision lays it out."""
    model = make_tflite() if model is None else model
    facts = {
        "DomainType": "Classification",
        "Platform": "TensorFlow",
        "Flavor": "TensorFlowLite",
        "ExporterVersion": "2.2",
        "ExportedDate": "2024-05-11T19:45:31.4268582Z",
        "IterationId": "35921ec4-e5eb-433a-95d7-536d4666bc0d",
        "ModelFileName": name,
        "LabelFileName": "labels.txt",
        "ModelFileSHA1": hashlib.sha1(model, usedforsecurity=False).hexdigest(),
        "SchemaVersion": "1.0",
    } | (manifest or {})
    if not dated:
        del facts["ExportedDate"]
    text = labels if isinstance(labels, bytes) else "\n".join(labels).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{folder}{name}", model)
        archive.writestr(f"{folder}labels.txt", text)
        archive.writestr(f"{folder}cvexport.manifest", json.dumps(facts))
        if properties is not None:
            archive.writestr(f"{folder}metadata_properties.json", json.dumps(properties))
        for other, data in (others or {}).items():
            archive.writestr(other, data)
    return buffer.getvalue()
