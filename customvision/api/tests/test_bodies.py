"""Pictures arrive whole, however clients wrap them."""

import base64
import tracemalloc

import pytest

from customvision.api.tests.factories import (
    BOUNDARY,
    make_caller,
    make_published,
    make_tagged,
    multipart,
)
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
    assert (
        caller.training("POST", path, body, content_type=content_type).json()["images"][0]["status"]
        == "OK"
    )


def test_a_picture_over_the_limit_is_refused_by_itself(caller, path):
    body, content_type = multipart(
        make_picture_bytes() + bytes(6 * 1024 * 1024), make_picture_bytes()
    )
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


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"a"', b'{"images": 3}', b'{"images": [3]}', b"[" * 50_000, b"\xff"]
)
def test_json_that_makes_no_sense_is_refused(caller, path, body):
    assert (
        caller.training("POST", f"{path}/files", body, content_type="application/json").status_code
        == 400
    )


@pytest.mark.parametrize(("backslashes", "status"), [(3000, 200), (5000, 400)])
def test_a_header_of_many_backslashes_takes_no_time(caller, path, backslashes, status):
    disposition = f'form-data; name="imageData"; x="{chr(92) * backslashes}'
    body, content_type = multipart(make_picture_bytes(), disposition=disposition)
    assert caller.training("POST", path, body, content_type=content_type).status_code == status


def test_headers_beyond_what_clients_send_are_refused(caller, path):
    disposition = 'form-data; name="imageData"' + "\r\nX-A: b" * 100
    body, content_type = multipart(make_picture_bytes(), disposition=disposition)
    response = caller.training("POST", path, body, content_type=content_type)
    assert response.status_code == 400 and response.json()["code"] == "BadRequestImageStream"


@pytest.mark.parametrize(
    "body",
    [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="imageData"; x="{{}}'.encode(),
        f"--{BOUNDARY}\r\n".encode() + b"{}: {}\r\n",
        b"{}",
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="text"\r\n\r\n{{}}'.encode(),
        f"--{BOUNDARY}\r\n\r\n\r\n".encode() + b"{}",
    ],
    ids=["parameter", "header", "preamble", "field", "no header"],
)
@pytest.mark.parametrize(
    "unit", [b"a", b'\\"', b'"', b"\r\n", b"\r\n a", f"\r\n--{BOUNDARY}".encode(), b"; a=b"]
)
def test_a_multipart_body_takes_little_memory_beside_itself(caller, path, body, unit):
    sent = body.replace(b"{}", unit * (4_000_000 // len(unit)))
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    tracemalloc.start()
    response = caller.training("POST", path, sent, content_type=content_type)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert response.status_code == 400 and peak < len(sent) * 5


def test_json_takes_little_memory_beside_itself_in_every_operation(caller):
    project, _tags, _iteration = make_published(caller, name="live")
    root = f"projects/{project.uuid}"
    operations = [
        (caller.training, "POST", f"{root}/images/{kind}")
        for kind in ("files", "urls", "predictions")
    ]
    operations += [
        (caller.training, "POST", f"{root}/images/tags"),
        (caller.training, "PATCH", root),
        (caller.training, "POST", f"{root}/quicktest/url"),
        (caller.training, "POST", f"{root}/predictions/query"),
        (caller.training, "POST", f"{root}/train"),
        (caller.prediction, "POST", f"{project.uuid}/classify/iterations/live/url"),
        (caller.prediction, "POST", f"{project.uuid}/classify/iterations/live/url/nostore"),
    ]
    for start in (b'{"url":', b'{"images":[{"contents":"'):
        for unit in (b"[],", b"[", b'"a",', b"{}"):
            body = start + b"[" + unit * (2_000_000 // len(unit))
            for ask, method, address in operations:
                tracemalloc.start()
                response = ask(method, address, body, content_type="application/json")
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                assert response.status_code == 400 and peak < len(body) * 5, (address, start, unit)


def test_a_batch_in_json_is_taken_in_with_its_names_and_line_breaks(caller, path):
    contents = [
        base64.encodebytes(make_picture_bytes((shade,) * 3, size=(300, 300))).decode()
        for shade in (40, 90)
    ]
    contents[0] = contents[0].replace("\n", "")
    images = [{"name": f"é{number}", "contents": each} for number, each in enumerate(contents)]
    answer = caller.training("POST", f"{path}/files", {"images": images}).json()
    assert [(one["status"], one["sourceUrl"]) for one in answer["images"]] == [
        ("OK", "é0"),
        ("OK", "é1"),
    ]
