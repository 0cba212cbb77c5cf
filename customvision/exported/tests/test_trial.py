"""The trial: what a model file may hold, and what becomes of one that does harm."""

import numpy as np
import pytest

from common.limited_processes import ProcessFailed
from customvision.exported import engines, operators, refusals, trial
from customvision.exported.refusals import Refused
from customvision.exported.tests.factories import (
    LABELS,
    SQUARE_RGB,
    make_onnx,
    make_tflite,
)


def refusal(kind: str, model: bytes, labels=LABELS, properties=None) -> Refused:
    with pytest.raises(Refused) as caught:
        trial.try_model(kind, model, labels, properties or {})
    assert refusals.sentence(caught.value).strip()
    return caught.value


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("tflite", make_tflite()),
        ("onnx", make_onnx()),
        ("onnx", make_onnx(as_map=True)),
    ],
)
def test_a_plain_network_is_taken(kind, model):
    found = trial.try_model(kind, model, LABELS, SQUARE_RGB)
    assert (found.activation, found.preprocessing["method"]) == ("softmax", "square")


def test_an_activation_that_nobody_names_is_seen():
    model = make_tflite(activation="LOGISTIC")
    assert trial.try_model("tflite", model, LABELS, {}).activation == "sigmoid"


def test_onnx_says_itself_what_pixels_it_wants():
    metadata = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"}
    found = trial.try_model("onnx", make_onnx(metadata=metadata), LABELS, {})
    assert (found.preprocessing["is_bgr"], found.preprocessing["divisor"]) == (True, 1.0)


def test_an_operator_of_others_is_refused_by_its_name():
    found = refusal("tflite", make_tflite(custom="FlexErf"))
    assert (found.code, found.detail) == ("unknown_operator", "FlexErf")
    found = refusal("onnx", make_onnx(operator="Evil", domain="my.company"))
    assert (found.code, found.detail) == ("unknown_operator", "my.company:Evil")
    assert refusal("onnx", make_onnx(operator="Sin")).detail == "Sin"


def test_files_of_others_are_refused():
    assert refusal("onnx", make_onnx(external=True)).code == "more_than_a_network"
    assert refusal("tflite", make_tflite(external=True)).code == "more_than_a_network"


def test_branches_and_functions_are_refused():
    import onnx

    model = onnx.load_model_from_string(make_onnx())
    node = onnx.helper.make_node("If", ["logits"], ["x"], then_branch=model.graph)
    model.graph.node.append(node)
    assert refusal("onnx", model.SerializeToString()).code == "more_than_a_network"
    model = onnx.load_model_from_string(make_onnx())
    model.functions.add(name="f", domain="d")
    assert refusal("onnx", model.SerializeToString()).code == "more_than_a_network"


def test_nothing_that_runs_code_or_keeps_state_is_on_the_lists():
    forbidden = {"CUSTOM", "WHILE", "IF", "CALL", "CALL_ONCE", "VAR_HANDLE", "If", "Loop", "Scan"}
    assert not forbidden & (operators.TFLITE_OPERATORS | operators.ONNX_OPERATORS)


@pytest.mark.parametrize(
    ("kind", "model", "code"),
    [
        ("tflite", b"", "not_tflite"),
        ("tflite", b"\x1c\0\0\0TFL3", "damaged"),
        ("tflite", make_onnx(), "not_tflite"),
        ("onnx", b"", "not_onnx"),
        ("onnx", make_tflite(), "not_onnx"),
        ("onnx", make_onnx()[:100], "not_onnx"),
        ("tflite", make_tflite(activation="RELU"), "no_probabilities"),
        ("tflite", make_tflite(np.eye(3)[:2]), "output"),
        ("onnx", make_onnx(np.eye(3)[:2]), "output"),
    ],
)
def test_what_is_no_such_model_is_refused(kind, model, code):
    assert refusal(kind, model).code == code


@pytest.mark.parametrize("part", [20, 100, 200, 300, 500, 700])
def test_a_cut_file_takes_nobody_along(part):
    model = make_tflite()
    assert refusal("tflite", model[:part] + bytes(len(model) - part)).code in {
        *("not_tflite", "damaged", "engine", "crashed", "input", "output"),
        *("unknown_operator", "no_probabilities"),
    }


def test_labels_of_another_number_are_refused():
    found = refusal("tflite", make_tflite(), LABELS[:2])
    assert found.code == "output" and "3" in found.detail


def test_labels_that_the_model_does_not_name_are_refused():
    assert refusal("onnx", make_onnx(as_map=True), ("a", "b", "c")).code == "engine"


def test_a_model_that_wants_all_memory_is_refused():
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_model_from_string(make_onnx())
    shape = numpy_helper.from_array(np.array([10**11], np.int64), "shape")
    model.graph.initializer.append(shape)
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("ReduceMax", ["huge"], ["top"], keepdims=0),
        helper.make_node("Add", ["model_output", "top"], ["sum"]),
    ]
    model.graph.node.extend(nodes)
    model.graph.output.pop()
    model.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, [None, 3]))
    found = refusal("onnx", model.SerializeToString())
    assert found.code in ("engine", "too_large", "crashed")


@pytest.mark.parametrize("reason", ["crashed", "too_slow"])
def test_a_process_without_an_answer_is_a_refusal(reason, monkeypatch):
    def ask(*args, **options):
        raise ProcessFailed(reason)

    monkeypatch.setattr(trial.limited_processes, "ask", ask)
    assert refusal("tflite", make_tflite()).code == reason


def test_an_answer_of_another_kind_is_a_refusal(monkeypatch):
    monkeypatch.setattr(trial.limited_processes, "ask", lambda *args, **options: {})
    assert refusal("tflite", make_tflite()).code == "crashed"


def test_without_an_engine_for_onnx_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    path = tmp_path / "model.onnx"
    path.write_bytes(make_onnx())
    with pytest.raises(Refused) as caught:
        engines.load_engine(engines.ONNX, path, LABELS, threads=1)
    assert "TensorFlow Lite" in refusals.sentence(caught.value)
