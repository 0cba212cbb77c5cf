"""Pictures arrive whole, however clients wrap them."""

import pytest

from classifr.customvision.tests.factories import BOUNDARY, make_caller, make_tagged, multipart
from predictions.tests.factories import make_picture_bytes

pytestmark = pytest.mark.django_db


@pytest.fixture
def caller():
    return make_caller()


@pytest.fixture
def path(caller):
    project, _tags = make_tagged(caller, pictures=0)
    return f"projects/{project.uuid}/images"


@pytest.mark.parametrize(
    ("disposition", "source"),
    [
        ('form-data; name="imageData"', ""),
        ('form-data; name="imageData"; filename="a.jpg"', '"a.jpg"'),
        ("form-data; name=imageData; filename=a.jpg; filename*=utf-8''b.jpg", "a.jpg"),
        ('form-data; name=imageData; filename="C:\\pictures\\a b.jpg"', '"C:\\pictures\\a b.jpg"'),
        ("form-data; name=imageData; filename*=utf-8''%C3%A9.jpg", "é.jpg"),
    ],
)
def test_parts_are_read_with_and_without_a_file_name(caller, path, disposition, source):
    picture = make_picture_bytes()
    body, content_type = multipart(picture, disposition=disposition)
    image = caller.training("POST", path, body, content_type=content_type).json()["images"][0]
    assert (image["status"], image["sourceUrl"]) == ("OK", source)
    assert caller.training("POST", path, picture).json()["images"][0]["status"] == "OKDuplicate"


def test_a_boundary_may_be_quoted_and_a_batch_have_many_parts(caller, path):
    body, _type = multipart(make_picture_bytes(), make_picture_bytes())
    content_type = f'Multipart/Form-Data; charset=utf-8; boundary="{BOUNDARY}"'
    answer = caller.training("POST", path, body, content_type=content_type).json()
    assert answer["isBatchSuccessful"] and len(answer["images"]) == 2


def test_a_picture_beyond_djangos_limit_arrives(caller, path):
    picture = make_picture_bytes() + bytes(3_000_000)  # what follows a JPEG's end is ignored
    body, content_type = multipart(picture)
    assert caller.training("POST", path, body, content_type=content_type).json()["images"][0]["status"] == "OK"


def test_a_picture_over_the_limit_is_refused_by_itself(caller, path):
    body, content_type = multipart(make_picture_bytes() + bytes(6 * 1024 * 1024), make_picture_bytes())
    answer = caller.training("POST", path, body, content_type=content_type)
    assert [image["status"] for image in answer.json()["images"]] == ["ErrorImageSize", "OK"]
    assert answer.status_code == 207


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/octet-stream", 400),
        (b"", f"multipart/form-data; boundary={BOUNDARY}", 400),
        (b"--x--", "multipart/form-data", 400),
        (b"x", "text/plain", 415),
        (bytes(6 * 1024 * 1024 + 1), "application/octet-stream", 400),
    ],
)
def test_a_body_that_is_none_is_refused(caller, path, body, content_type, status):
    response = caller.training("POST", path, body, content_type=content_type)
    assert response.status_code == status and set(response.json()) == {"code", "message"}


@pytest.mark.parametrize("body", [b"{", b"[]", b'"a"', b'{"images": 3}', b'{"images": [3]}', b"[" * 50_000, b"\xff"])
def test_json_that_makes_no_sense_is_refused(caller, path, body):
    assert caller.training("POST", f"{path}/files", body, content_type="application/json").status_code == 400


def test_a_header_of_many_backslashes_takes_no_time(caller, path):
    disposition = f'form-data; name="imageData"; x="{chr(92) * 5000}'
    body, content_type = multipart(make_picture_bytes(), disposition=disposition)
    assert caller.training("POST", path, body, content_type=content_type).status_code == 200
