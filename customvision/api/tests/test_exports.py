"""Exports: requested, built by the worker, downloaded from a URL that expires."""

import io
import zipfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.core.files.storage import storages
from django.utils import timezone

from common import jobs, tasks
from common.errors import DomainError
from common.media import images
from customvision.api.tests.factories import make_caller, make_published, make_tagged
from customvision.models import Export
from predictions.models import ModelVersion, Project
from predictions.predictors.local import preprocessing
from predictions.tests.factories import make_picture_bytes
from training import exports

pytestmark = pytest.mark.django_db
# By how much a probability of an archive may differ: the server computes in int8, as TensorFlow
# Lite does, and the other archives round where int8 does
TOLERANCE, FLOAT_TOLERANCE = 1e-3, 0.15
SHADES = (3, 60, 128, 200, 240)


@pytest.fixture
def caller():
    tasks.autodiscover()
    return make_caller()


@pytest.fixture
def path(caller):
    """Where the exports of a published iteration are; its model is said to be a local one."""
    project, _tags, iteration = make_published(caller)
    ModelVersion.objects.update(predictor="keras")
    return f"projects/{project.uuid}/iterations/{iteration}/export"


def ask(caller, path, query="platform=ONNX"):
    answer = caller.training("POST", f"{path}?{query}")
    jobs.run_due_jobs("training")
    return answer


def test_an_archive_is_made_once_and_fetched_without_a_key(caller, path, monkeypatch, client):
    asked = []

    def build(_model, labels, of):
        asked.append((labels, of))
        return b"an archive"

    monkeypatch.setattr(exports, "build_archive", build)
    assert (
        ask(caller, path, "platform=tensorflow&flavor=tensorflowlite").json()["status"]
        == "Exporting"
    )
    again = ask(caller, path, "platform=TensorFlow&flavor=TensorFlowLite").json()
    assert len(caller.training("GET", path).json()) == 1
    assert (again["status"], again["platform"], again["flavor"]) == (
        "Done",
        "TensorFlow",
        "TensorFlowLite",
    )
    assert asked == [(["dark", "light"], "lite")]
    fetched = client.get(again["downloadUri"])
    assert b"".join(fetched.streaming_content) == b"an archive"
    assert fetched["Content-Type"] == "application/zip" and "no-store" in fetched["Cache-Control"]


def test_an_address_ends(caller, path, monkeypatch, client):
    monkeypatch.setattr(exports, "build_archive", lambda *_args: b"an archive")
    ask(caller, path)
    address = caller.training("GET", path).json()[0]["downloadUri"]
    assert client.get(f"{address}x").status_code == 404
    later = (timezone.now() + timedelta(days=1, seconds=1)).timestamp()
    monkeypatch.setattr("django.core.signing.time.time", lambda: later)
    assert client.get(address).status_code == 404


def test_what_cannot_be_made_has_failed_and_may_be_asked_again(caller, path, monkeypatch):
    def fail(*_args):
        raise DomainError("ONNX is not there.")

    monkeypatch.setattr(exports, "build_archive", fail)
    ask(caller, path)
    assert caller.training("GET", path).json()[0]["status"] == "Failed"
    assert Export.objects.get().error == "ONNX is not there."
    monkeypatch.setattr(exports, "build_archive", lambda *_args: b"an archive")
    ask(caller, path)
    assert caller.training("GET", path).json()[0]["status"] == "Done"


def test_an_export_whose_job_is_gone_has_failed(caller, path):
    caller.training("POST", f"{path}?platform=ONNX")
    jobs.Job.objects.all().delete()
    assert caller.training("GET", path).json()[0]["status"] == "Failed"


def test_a_worker_without_onnx_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(exports.CannotExport, match="onnx, tf2onnx"):
        exports.FORMATS["onnx"].write(None, tmp_path)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "BadRequestRequiredParamIsNull"),
        ("platform=Paper", "BadRequestProjectUnsupportedExportPlatform"),
        ("platform=CoreML", "BadRequestNotSupported"),
        ("platform=ONNX&flavor=TensorFlowLite", "BadRequestExportValidationFailed"),
    ],
)
def test_what_is_not_there_is_refused(caller, path, query, code):
    assert ask(caller, path, query).json()["code"] == code
    assert not Export.objects.exists()


def test_a_model_that_is_no_file_cannot_be_exported(caller, path):
    ModelVersion.objects.update(predictor="dummy")
    assert ask(caller, path).json()["code"] == "BadRequestNotSupported"


def test_an_iteration_that_is_deleted_takes_its_archives_with_it(caller, path, monkeypatch, client):
    monkeypatch.setattr(exports, "build_archive", lambda *_args: b"an archive")
    ask(caller, path)
    address, name = (
        caller.training("GET", path).json()[0]["downloadUri"],
        Export.objects.get().file_name,
    )
    iteration = path.removesuffix("/export")
    caller.training("DELETE", f"{iteration}/publish")
    assert caller.training("DELETE", iteration).status_code == 204
    jobs.run_due_jobs()
    assert client.get(address).status_code == 404 and not storages["models"].exists(name)


@pytest.mark.outer
@pytest.mark.parametrize("multilabel", [False, True])
def test_every_archive_answers_as_the_server_does(multilabel, caller, client, tmp_path):
    project, _tags = make_tagged(caller, pictures=8)
    Project.objects.update(trainer="keras", multilabel=multilabel)
    trained = caller.training("POST", f"projects/{project.uuid}/train").json()["id"]
    iteration = f"projects/{project.uuid}/iterations/{trained}"
    jobs.run_due_jobs("training")
    caller.training("POST", f"{iteration}/publish?publishName=live&predictionId=x")
    pictures = [make_picture_bytes((shade, shade, 255 - shade), format="PNG") for shade in SHADES]
    expected = np.array([answers(caller, project, picture) for picture in pictures])
    runs = {"TensorFlowNormal": run_saved_model, "TensorFlowLite": run_lite, "ONNX12": run_onnx}
    for flavor, run in runs.items():
        platform = "ONNX" if flavor == "ONNX12" else "TensorFlow"
        ask(caller, f"{iteration}/export", f"platform={platform}&flavor={flavor}")
        export = caller.training("GET", f"{iteration}/export").json()[-1]
        assert (export["flavor"], export["status"]) == (flavor, "Done"), Export.objects.last().error
        folder = tmp_path / flavor
        content = b"".join(client.get(export["downloadUri"]).streaming_content)
        zipfile.ZipFile(io.BytesIO(content)).extractall(folder)
        assert (folder / "labels.txt").read_text().split() == ["dark", "light"]
        assert (
            "pixels" in (folder / "README.txt").read_text()
            and (folder / "cvexport.manifest").exists()
        )
        size = Export.objects.last().iteration.version.manifest["input_size"]
        pixels = np.stack(
            [
                preprocessing.crop_and_scale(
                    images.decode_upload(data, most_bytes=10**6).image, size
                )
                for data in pictures
            ]
        )
        found = run(folder, pixels)
        allowed = TOLERANCE if flavor == "TensorFlowLite" else FLOAT_TOLERANCE
        assert np.abs(found - expected).max() < allowed, flavor
        assert (found.argmax(axis=1) == expected.argmax(axis=1)).all(), flavor
        assert ("in float32" in (folder / "README.txt").read_text()) == (flavor != "TensorFlowLite")


def answers(caller, project, picture: bytes) -> list[float]:
    """Return what the server says of a picture, in the order of the labels."""
    path = f"{project.uuid}/classify/iterations/live/image/nostore"
    said = {
        one["tagName"]: one["probability"]
        for one in caller.prediction("POST", path, picture).json()["predictions"]
    }
    return [said["dark"], said["light"]]


def run_saved_model(folder: Path, pixels: np.ndarray) -> np.ndarray:
    import tensorflow

    (output,) = (
        tensorflow.saved_model.load(folder)
        .signatures["serving_default"](tensorflow.constant(pixels))
        .values()
    )
    return output.numpy()


def run_lite(folder: Path, pixels: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    (output,) = (
        Interpreter(str(folder / "model.tflite")).get_signature_runner()(pixels=pixels).values()
    )
    return output


def run_onnx(folder: Path, pixels: np.ndarray) -> np.ndarray:
    import onnxruntime

    (output,) = onnxruntime.InferenceSession(folder / "model.onnx").run(None, {"pixels": pixels})
    return output
