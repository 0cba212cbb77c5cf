"""What a model file would do, read from it without running it.

Only known operators, no code and no files of others. Lists, not exceptions: an operator that is on
neither list is refused, whatever it is. Loops and branches are on none, so that an answer takes as
long for any picture.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from customvision.exported.refusals import Refused

if TYPE_CHECKING:
    import onnx

TFLITE_MAGIC = b"TFL3"  # at byte 4, see schema.fbs of LiteRT
MOST_OPERATORS = 20_000  # in all; the networks of Custom Vision have some hundreds

# Of schema.fbs of LiteRT: what networks for pictures consist of. No CUSTOM (which flex operators
# are as well), no control flow, no variables, no random numbers.
_TFLITE_OPERATORS = """
ABS ADD ADD_N ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_TO CAST
CONCATENATION CONV_2D DEPTH_TO_SPACE DEPTHWISE_CONV_2D DEQUANTIZE DIV ELU EXP EXPAND_DIMS
FILL FLOOR FULLY_CONNECTED GATHER GELU HARD_SWISH L2_NORMALIZATION L2_POOL_2D LEAKY_RELU
LOCAL_RESPONSE_NORMALIZATION LOG LOG_SOFTMAX LOGISTIC MAX_POOL_2D MAXIMUM MEAN MINIMUM
MIRROR_PAD MUL NEG PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6
RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RSQRT
SHAPE SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE
SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE UNPACK
"""
TFLITE_OPERATORS = frozenset(_TFLITE_OPERATORS.split())

# Of the operator sets "ai.onnx" and "ai.onnx.ml": the same, and the three by which older exports
# name the most probable label
_ONNX_OPERATORS = """
Abs Add ArgMax AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape
Conv DepthToSpace DequantizeLinear Div Dropout Elu Erf Exp Expand Flatten Floor Gather
Gelu Gemm GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity ImageScaler
InstanceNormalization LRN LayerNormalization LeakyRelu Log LogSoftmax LpNormalization MatMul
Max MaxPool Mean MeanVarianceNormalization Min Mul Neg PRelu Pad Pow QuantizeLinear
Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare ReduceL2 Relu Reshape
Resize Round Selu Shape Sigmoid Slice Softmax SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile
Transpose Unsqueeze Upsample
"""
ONNX_OPERATORS = frozenset(_ONNX_OPERATORS.split())
ONNX_ML_OPERATORS = frozenset({"ArrayFeatureExtractor", "ZipMap", "Normalizer", "Scaler"})


def check_tflite(data: bytes) -> None:
    """Check the operators of a TensorFlow Lite file. Raises Refused."""
    from ai_edge_litert import schema_py_generated as schema

    if data[4:8] != TFLITE_MAGIC:
        raise Refused("not_tflite")
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    try:
        model = schema.Model.GetRootAs(data, 0)
        used = list(_tflite_operators(model, names))
        external = [
            index
            for index in range(_counted(model.BuffersLength()))
            if model.Buffers(index).Offset() > 1
        ]
        subgraphs = model.SubgraphsLength()
        operators = _counted(model.Subgraphs(0).OperatorsLength()) if subgraphs else 0
    except Refused:
        raise
    except Exception as error:  # the reader checks no bounds: it fails in many ways
        raise Refused("damaged") from error
    if subgraphs != 1 or not operators or external:
        raise Refused("damaged" if not (subgraphs and operators) else "more_than_a_network")
    _refuse_unknown(used, TFLITE_OPERATORS)


def _tflite_operators(model: Any, names: dict[int, str]) -> Iterator[str]:
    for index in range(_counted(model.OperatorCodesLength())):
        code = model.OperatorCodes(index)
        # Files from before 2020 have the first of the two, see schema.fbs
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        if custom := code.CustomCode():
            yield custom.decode("utf-8", "replace")
        else:
            yield names.get(number, f"{number}")


def check_onnx(data: bytes) -> dict[str, str]:
    """Check the operators of an ONNX file, and return what it says of itself (`metadata_props`).

    Raises:
        Refused: it is no ONNX file, or would do more than compute with what is inside it.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own, which differ between its implementations
        raise Refused("not_onnx") from error
    if not model.graph.node:
        raise Refused("not_onnx")
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise Refused("more_than_a_network")
    _counted(len(model.graph.node))
    tensors = [*model.graph.initializer]
    used = []
    for node in model.graph.node:
        known = {"": ONNX_OPERATORS, "ai.onnx": ONNX_OPERATORS, "ai.onnx.ml": ONNX_ML_OPERATORS}
        if node.op_type in known.get(node.domain, ()):
            used.append(node.op_type)
        else:
            used.append(f"{node.domain}:{node.op_type}" if node.domain else node.op_type)
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs or attribute.sparse_tensors:
                raise Refused("more_than_a_network")
            tensors += [attribute.t, *attribute.tensors]
    if any(_is_external(tensor, onnx) for tensor in tensors):
        raise Refused("more_than_a_network")
    _refuse_unknown(used, ONNX_OPERATORS | ONNX_ML_OPERATORS)
    return {each.key[:100]: each.value[:1000] for each in model.metadata_props[:100]}


def _is_external(tensor: "onnx.TensorProto", onnx: Any) -> bool:
    return bool(tensor.external_data) or tensor.data_location == onnx.TensorProto.EXTERNAL


def _refuse_unknown(used: list[str], known: frozenset[str]) -> None:
    if unknown := sorted(set(used) - known):
        names = ", ".join(unknown[:5])[:200]
        raise Refused("unknown_operator", "".join(x if x.isprintable() else "?" for x in names))


def _counted(count: int) -> int:
    if count > MOST_OPERATORS:
        raise Refused("damaged")
    return count
