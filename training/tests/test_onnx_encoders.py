"""Encoders exported to ONNX: a tiny one, made here, learns, is kept in the bundle and answers."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from common.media import texts
from predictions.predictors.base import ModelRef, PredictorError
from predictions.predictors.text.encoders import OnnxEncoder
from predictions.predictors.text.predictor import TextPredictor
from training.data.examples import Example
from training.errors import TrainingFailed
from training.trainers.base import TrainingTask, trainers
from training.trainers.text import trainer as text_trainer

pytest.importorskip("tokenizers", reason="an extra: see docs/texts.md")

WORDS = ["[PAD]", "[UNK]", "good", "fine", "nice", "bad", "poor", "awful", "the", "food", "was"]
WIDTH = 8


def tiny_network(*, external: bool = False) -> bytes:
    """Return an encoder that looks its tokens up: `last_hidden_state` of shape (N, tokens, 8)."""
    table = np.random.default_rng(0).normal(size=(len(WORDS), WIDTH)).astype(np.float32)
    table[2:5, 0] += 4  # the good ones lie apart from the bad ones
    weights = numpy_helper.from_array(table, "table")
    if external:
        weights.data_location = TensorProto.EXTERNAL
        weights.ClearField("raw_data")
        weights.external_data.add(key="location", value="/etc/hostname")
    names = ["input_ids", "attention_mask"]
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "t"]) for n in names]
    output = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["batch", "t", WIDTH]
    )
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    graph = helper.make_graph(nodes, "tiny", inputs, [output], [weights])
    opset = [helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def tiny_tokenizer() -> bytes:
    vocabulary = {word: place for place, word in enumerate(WORDS)}
    return json.dumps(
        {
            "version": "1.0",
            "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {"type": "Whitespace"},
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
            "added_tokens": [],
        }
    ).encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(tiny_network())
    (tmp_path / "tokenizer.json").write_bytes(tiny_tokenizer())
    return tmp_path


def task(folder: Path) -> TrainingTask:
    examples = []
    for label, words in (("good", WORDS[2:5]), ("bad", WORDS[5:8])):
        for number in range(30):
            data = f"The food was {words[number % 3]}{' very' * number}".encode()
            split = "validation" if number % 4 == 0 else "train"
            digest = hashlib.sha256(data).hexdigest()
            examples.append(Example(digest, label, split, lambda data=data: data))
    return TrainingTask("meals", ("bad", "good"), examples, {"backbone": f"onnx:{folder}"})


def test_it_learns_and_answers_from_its_bundle_alone(folder):
    trained = trainers["text"].train(task(folder))
    (folder / "model.onnx").unlink()
    model = ModelRef(trained.reference, trained.class_names, trained.digest)
    said = TextPredictor(alias="text").predict(
        [texts.of_string("the food was nice"), texts.of_string("awful")], model
    )
    assert [max(each, key=each.__getitem__) for each in said] == ["good", "bad"]
    assert trained.manifest["backbone"]["name"] == "onnx"


def test_padding_does_not_change_a_vector():
    encoder = OnnxEncoder(tiny_network(), tiny_tokenizer())
    alone = encoder.encode(["good food"])
    beside = encoder.encode(["good food", "the food was bad the food was bad"])
    assert np.abs(alone[0] - beside[0]).max() < 1e-6


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model.onnx", b"no network"),
        ("tokenizer.json", b"{}"),
        ("model.onnx", tiny_network(external=True)),
    ],
)
def test_what_is_no_encoder_is_refused_with_a_sentence(folder, name, data):
    (folder / name).write_bytes(data)
    with pytest.raises(TrainingFailed, match="cannot be"):
        trainers["text"].train(task(folder))


def test_a_file_that_is_missing_or_too_long_is_refused(folder, monkeypatch):
    monkeypatch.setattr(text_trainer, "MAX_ONNX_BYTES", 10)
    with pytest.raises(TrainingFailed, match="at most"):
        trainers["text"].train(task(folder))
    with pytest.raises(TrainingFailed, match="cannot be read"):
        trainers["text"].train(task(folder / "elsewhere"))


def test_a_network_that_is_none_is_told_by_the_predictor_too():
    with pytest.raises(PredictorError):
        OnnxEncoder(b"", tiny_tokenizer())
