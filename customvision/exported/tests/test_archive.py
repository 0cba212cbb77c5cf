"""What is read of an archive, and what is refused before anything of it is used."""

import io
import stat
import zipfile

import pytest

from common.errors import InvalidInput
from customvision.exported import archive
from customvision.exported.tests.factories import (
    LABELS,
    SQUARE_RGB,
    make_archive,
    make_onnx,
    make_tflite,
)


def read(data: bytes) -> archive.ExportedModel:
    return archive.read_archive(io.BytesIO(data))


def zipped(files: dict[str, bytes], **options) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data, **options)
    return buffer.getvalue()


def test_an_export_is_read():
    found = read(make_archive(properties=SQUARE_RGB))
    assert (found.kind, found.model, found.labels) == ("tflite", make_tflite(), LABELS)
    assert found.properties["Image.BitmapPixelFormat"] == "Rgb8"
    assert found.manifest["Flavor"] == "TensorFlowLite"
    assert not found.is_own


def test_an_export_to_onnx_is_read():
    found = read(make_archive(make_onnx(), name="model.onnx"))
    assert (found.kind, found.properties) == ("onnx", {})


def test_a_container_has_its_model_in_a_folder():
    others = {"Dockerfile": b"FROM python", "app/predict.py": b"import numpy"}
    found = read(make_archive(folder="app/", others=others))
    assert found.labels == LABELS


def test_a_graph_is_read():
    assert read(make_archive(b"a graph", name="model.pb")).kind == archive.FROZEN


def test_an_export_of_ours_is_known():
    assert read(make_archive(manifest={"Preprocessing": "centre-crop-bilinear"})).is_own


def test_labels_may_have_a_mark_and_an_empty_end():
    found = read(make_archive(labels="\ufeffRind \r\nÄpfel\r\n\r\n".encode()))
    assert found.labels == ("Rind", "Äpfel")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"saved_model.pb": b"x", "variables/variables.index": b""}, "SavedModel"),
        ({"model.pb": b"x"}, "no labels.txt"),
        ({"model.pb": b"x", "model.tflite": b"x"}, "several models"),
        ({"model.mlmodel": b"x"}, "Models of this kind"),
        ({"readme.txt": b"x"}, "no model"),
        ({}, "no model"),
        ({"model.tflite": b"x", "model.onnx": b"y"}, "several models"),
        ({"model.tflite": b"x"}, "no labels.txt"),
        ({"../model.tflite": b"x"}, "file names"),
        ({"/etc/model.tflite": b"x"}, "file names"),
        ({"C:\\model.tflite": b"x"}, "file names"),
        ({"a/../../model.tflite": b"x"}, "file names"),
        ({"model.tflite": b"x", "MODEL.TFLITE": b"y"}, "file names"),
        ({f"{number}": b"" for number in range(501)}, "too many files"),
        ({"model.tflite": b"x", "labels.txt": b"a\na\n"}, "twice"),
        ({"model.tflite": b"x", "labels.txt": b"\n"}, "a label on each line"),
        ({"model.tflite": b"x", "labels.txt": b"a\n\nb"}, "a label on each line"),
        ({"model.tflite": b"x", "labels.txt": b"a\n" * 600}, "a label on each line"),
        ({"model.tflite": b"x", "labels.txt": b"\xff\xfe"}, "no text"),
        ({"model.tflite": b"x", "labels.txt": b"a\x00b"}, "control characters"),
        ({"model.tflite": b"x", "labels.txt": b"a" * 101}, "too long"),
        ({"model.tflite": b"x", "labels.txt": b"a", "cvexport.manifest": b"{"}, "cannot be read"),
        (
            {
                "model.tflite": b"x",
                "labels.txt": b"a",
                "cvexport.manifest": b'{"DomainType": "ObjectDetection"}',
            },
            "object detection",
        ),
        (
            {
                "model.tflite": b"x",
                "labels.txt": b"a",
                "cvexport.manifest": b'{"ModelFileSHA1": "abc"}',
            },
            "digest",
        ),
    ],
)
def test_what_is_no_export_is_refused_in_a_sentence(files, sentence):
    with pytest.raises(InvalidInput, match=sentence) as caught:
        read(zipped(files))
    assert str(caught.value).endswith((".", "?"))


def test_a_bomb_is_refused_by_its_directory():
    data = zipped({"model.tflite": bytes(20_000_000), "labels.txt": b"a"})
    with pytest.raises(InvalidInput, match="larger"):
        archive.check_directory(io.BytesIO(data))


def test_a_bomb_that_lies_about_its_size_is_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_TEXT_BYTES", 1000)
    data = bytearray(zipped({"model.tflite": b"x", "labels.txt": b"abcde\n" * 10_000}))
    with pytest.raises(InvalidInput, match="larger"):
        read(bytes(data))


def test_too_much_in_all_is_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 100)
    with pytest.raises(InvalidInput, match="larger"):
        read(make_archive())


def test_an_archive_that_is_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", 100)
    with pytest.raises(InvalidInput, match="larger than"):
        read(make_archive())


def test_a_link_is_refused():
    entry = zipfile.ZipInfo("model.tflite")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(entry, "/etc/passwd")
        file.writestr("labels.txt", "a")
    with pytest.raises(InvalidInput, match="links"):
        read(buffer.getvalue())


def test_an_encrypted_file_is_refused():
    data = bytearray(zipped({"model.tflite": b"x", "labels.txt": b"a"}))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + place] |= 1
    with pytest.raises(InvalidInput, match="encrypted"):
        read(bytes(data))


@pytest.mark.parametrize("damage", [b"", b"PK", b"no archive at all", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive_is_refused(damage):
    with pytest.raises(InvalidInput, match=r"damaged|no model"):
        read(damage)


def test_every_cut_archive_is_refused():
    data = make_archive()
    for length in range(0, len(data), max(1, len(data) // 40)):
        with pytest.raises(InvalidInput):
            read(data[:length])


def test_a_damaged_stream_is_refused():
    data = bytearray(make_archive())
    at = data.index(b"model.tflite") + 40
    data[at : at + 8] = b"\xff" * 8
    with pytest.raises(InvalidInput):
        read(bytes(data))
