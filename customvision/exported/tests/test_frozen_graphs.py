"""Frozen graphs become TensorFlow Lite where they are plain networks, or it is said why not."""

import io

import numpy as np
import pytest
from PIL import Image

from common.media.images import Picture
from customvision.exported import model_import
from customvision.exported.tests.factories import make_archive
from predictions import classification
from predictions.tests.factories import make_project
from training import frozen_graphs
from training.backbones.keras_session import import_keras_quietly
from training.frozen_graphs import CannotConvert

pytestmark = pytest.mark.outer
SIZE = 16


def make_graph(*, operator: str = "", placeholders: int = 1, size=SIZE, output="loss") -> bytes:
    """Return a graph that knows blue, green and red, as Custom Vision lays them out."""
    import_keras_quietly()
    import tensorflow

    v1, graph = tensorflow.compat.v1, tensorflow.Graph()
    with graph.as_default():
        for number in range(placeholders):
            suffix = f"_{number}" if number else ""
            pixels = v1.placeholder(
                tensorflow.float32, [None, size, size, 3], f"Placeholder{suffix}"
            )
        scaled = tensorflow.identity(pixels * (12 / 255), name="data_bn/scaled")
        logits = tensorflow.reduce_mean(scaled, [1, 2])
        if operator == "PyFunc":
            logits = v1.py_func(lambda x: x, [logits], tensorflow.float32)
        if operator == "ReadFile":
            tensorflow.io.read_file("/etc/passwd", name="secret")
        tensorflow.nn.softmax(logits, name=output)
    return graph.as_graph_def().SerializeToString()


@pytest.mark.django_db
def test_a_graph_becomes_a_version_that_answers():
    data = make_archive(make_graph(), name="model.pb", properties=None)
    version, _new = model_import.import_archive(make_project(), io.BytesIO(data))
    assert version.manifest["exported"]["preprocessing"]["method"] == "classic"
    again, is_new = model_import.import_archive(version.project, io.BytesIO(data))
    assert again == version and not is_new
    for colour in ("red", "green", "blue"):
        image = Image.new("RGB", (50, 40), colour if colour != "green" else "lime")
        picture = Picture(image=image, data=b"", media_type="image/png", sha256="0" * 64)
        (scores,) = classification.predict_with(version.project, [picture], version=version).scores
        assert max(scores, key=lambda name: scores[name]) == colour


def test_the_numbers_are_those_of_the_graph(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    found = frozen_graphs.convert_graph(make_graph(output="anything"))
    assert found.normalizes
    interpreter = Interpreter(model_content=found.model)
    interpreter.allocate_tensors()
    pixels = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    logits = pixels.mean(axis=(1, 2)) * 12 / 255
    expected = np.exp(logits) / np.exp(logits).sum()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert np.abs(output - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"operator": "PyFunc"}, "PyFunc"),
        ({"operator": "ReadFile"}, "ReadFile"),
        ({"placeholders": 2}, "laid out"),
        ({"size": 2000}, "laid out"),
    ],
)
def test_what_is_no_plain_network_is_refused(options, sentence):
    with pytest.raises(CannotConvert, match=sentence):
        frozen_graphs.convert_graph(make_graph(**options))


@pytest.mark.parametrize("data", [b"", b"no graph at all"])
def test_what_is_no_graph_is_refused(data):
    with pytest.raises(CannotConvert, match="no frozen TensorFlow graph"):
        frozen_graphs.convert_graph(data)


def test_a_process_that_gives_no_answer_is_a_refusal(monkeypatch):
    def ask(*args, **options):
        raise frozen_graphs.ProcessFailed("too_slow")

    monkeypatch.setattr(frozen_graphs.limited_processes, "ask", ask)
    with pytest.raises(CannotConvert, match="too long"):
        frozen_graphs.convert_graph(b"x")


@pytest.mark.django_db
def test_a_graph_that_leaves_the_mean_to_programs_is_refused(monkeypatch):
    converted = frozen_graphs.ConvertedGraph(b"x", normalizes=False)
    monkeypatch.setattr(frozen_graphs, "convert_graph", lambda data: converted)
    data = make_archive(b"x", name="model.pb", dated=False)
    with pytest.raises(model_import.CannotImport, match="May 2018"):
        model_import.import_archive(make_project(), io.BytesIO(data))
