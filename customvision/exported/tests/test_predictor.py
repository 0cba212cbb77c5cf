"""The predictor of exported models keeps the promises of every predictor, and its own."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from customvision.exported import predictor as exported
from customvision.exported import trial
from customvision.exported.predictor import ExportedPredictor
from customvision.exported.tests.factories import (
    FROM_RGB,
    LABELS,
    SQUARE_RGB,
    make_onnx,
    make_tflite,
)
from predictions.predictors.base import ModelRef, PredictorError, predictors
from predictions.predictors.local import bundles
from predictions.tests import tiny_model
from predictions.tests.predictor_contract import PredictorContract, picture_of


def write(kind: str, model: bytes, properties=None, **facts) -> ModelRef:
    """Keep a model as `model_import` does, the trial being done in this process."""
    question = {"kind": kind, "labels": LABELS, "properties": properties or {}, "is_own": False}
    with tempfile.NamedTemporaryFile() as file:
        file.write(model)
        file.flush()
        found = trial.examine(Path(file.name), question)
    told = {"kind": kind, "labels": LABELS, "preprocessing": found["preprocessing"]} | facts
    manifest = {"class_names": list(LABELS), "exported": told}
    reference, digest = bundles.write_bundle("colours", {exported.FILES[kind]: model}, manifest)
    return ModelRef(reference=reference, class_names=LABELS, digest=digest)


@pytest.fixture(autouse=True)
def models_of_this_test(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    disk = {
        "BACKEND": "common.storages.DiskStorage",
        "OPTIONS": {"location": str(tmp_path / "models")},
    }
    settings.STORAGES = settings.STORAGES | {"models": disk}
    return tmp_path / "models"


@pytest.fixture
def predictor():
    return ExportedPredictor(alias="exported")


def top(scores: dict[str, float]) -> str:
    return max(scores, key=lambda name: scores[name])


class TestTensorFlowLite(PredictorContract):
    @pytest.fixture
    def model(self):
        return write("tflite", make_tflite(FROM_RGB), SQUARE_RGB)

    @pytest.fixture
    def broken_model(self):
        return ModelRef("colours/0123456789abcdef", LABELS, "0" * 64)


class TestOnnx(PredictorContract):
    @pytest.fixture
    def model(self):
        return write("onnx", make_onnx(FROM_RGB, factor=12.0), SQUARE_RGB)


class TestClassic(PredictorContract):
    @pytest.fixture
    def model(self):
        return write("tflite", make_tflite())


class TestMaps(PredictorContract):
    @pytest.fixture
    def model(self):
        return write("onnx", make_onnx(FROM_RGB, factor=12.0, as_map=True), SQUARE_RGB)


@pytest.mark.parametrize(
    ("kind", "model", "properties"),
    [
        ("tflite", make_tflite(), {}),
        ("tflite", make_tflite(FROM_RGB), SQUARE_RGB),
        ("onnx", make_onnx(FROM_RGB, factor=12.0), SQUARE_RGB),
        ("onnx", make_onnx(factor=12.0), SQUARE_RGB | {"Image.BitmapPixelFormat": "Bgr8"}),
        ("onnx", make_onnx(FROM_RGB, factor=12.0, as_map=True), {}),
    ],
)
def test_colours_are_told_apart_in_the_order_that_the_export_says(
    predictor, kind, model, properties
):
    reference = write(kind, model, properties)
    colours = ("red", "lime", "blue")
    found = predictor.predict([picture_of(colour, (60, 40)) for colour in colours], reference)
    assert [top(scores) for scores in found] == ["red", "green", "blue"]


def test_the_numbers_are_those_of_the_network(predictor):
    model = write("tflite", make_tflite(FROM_RGB), SQUARE_RGB)
    (found,) = predictor.predict([picture_of((200, 100, 50), (30, 30))], model)
    logits = np.array([50, 100, 200]) * 12 / 255
    expected = np.exp(logits) / np.exp(logits).sum()
    assert list(found.values()) == pytest.approx(expected.tolist(), abs=1e-5)


def test_several_labels_may_be_probable(predictor):
    model = write("tflite", make_tflite(FROM_RGB, activation="LOGISTIC"), SQUARE_RGB)
    (found,) = predictor.predict([picture_of("yellow")], model)
    assert found["red"] > 0.99 and found["green"] > 0.99 and found["blue"] == pytest.approx(0.5)


def test_what_is_needed_of_a_picture_is_known(predictor):
    assert predictor.least_side(write("tflite", make_tflite())) is None
    model = write("tflite", make_tflite(FROM_RGB), SQUARE_RGB)
    assert predictor.least_side(model) == 32
    assert predictor.least_side(model, augment=True) == 50


def test_the_centre_is_what_counts(predictor):
    image = Image.new("RGB", (90, 30), "red")
    image.paste("blue", (30, 0, 60, 30))
    picture = picture_of("red", (90, 30))
    object.__setattr__(picture, "image", image)
    (found,) = predictor.predict([picture], write("tflite", make_tflite(FROM_RGB), SQUARE_RGB))
    assert top(found) == "blue"


def test_a_model_that_was_changed_is_refused(predictor, models_of_this_test):
    model = write("tflite", make_tflite())
    path = models_of_this_test / model.reference / bundles.COMPILED_MODEL
    path.write_bytes(make_tflite(FROM_RGB))
    with pytest.raises(PredictorError, match="not what was trained"):
        predictor.warm_up(model)


def test_a_model_of_the_local_predictor_is_refused(predictor):
    with pytest.raises(PredictorError, match="not a model of this predictor"):
        predictor.warm_up(tiny_model.write_tiny_bundle())


def test_other_categories_are_refused(predictor):
    model = write("tflite", make_tflite())
    with pytest.raises(PredictorError, match="other categories"):
        predictor.warm_up(ModelRef(model.reference, ("a", "b", "c"), model.digest))


def test_a_manifest_that_does_not_fit_is_refused(predictor):
    with pytest.raises(PredictorError, match="cannot be run"):
        predictor.warm_up(write("tflite", make_tflite(), preprocessing={}))
    with pytest.raises(PredictorError, match="does not fit its labels"):
        predictor.warm_up(write("tflite", make_tflite(), labels=["a", "b"]))


def test_a_model_that_fails_is_told_in_a_sentence(predictor, monkeypatch):
    model = write("tflite", make_tflite())
    predictor.warm_up(model)
    loaded = predictor._models[model]
    monkeypatch.setattr(loaded.engine, "_input", 10_000)
    with pytest.raises(PredictorError, match="failed while processing"):
        predictor.predict([picture_of("red")], model)


def test_the_settings_name_it():
    assert isinstance(predictors[exported.ALIAS], ExportedPredictor)
    assert ExportedPredictor(alias="x", models_in_memory=0).check()


def test_the_manifest_holds_no_time(models_of_this_test):
    model = write("tflite", make_tflite())
    manifest = json.loads((models_of_this_test / model.reference / "manifest.json").read_bytes())
    assert set(manifest) == {"class_names", "exported", "files", "format"}
