"""JSON from others costs no more than a body of its length may."""

import base64
import json
import tracemalloc

import pytest

from common import json_bodies
from common.json_bodies import NotJson, TooMuchJson, loads, loads_with_pictures

PICTURE = bytes(range(256)) * 12
MEGABYTE = 1024 * 1024


def with_pictures(data: bytes, most_bytes: int = 10_000):
    return loads_with_pictures(data, most_bytes=most_bytes, most_pictures=3)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        "a",
        {"url": "https://example.com/a,b[c]{d}.jpg"},
        {"a": [1, {"b": '"['}]},
        "é\U0001f355",
    ],
)
def test_sensible_json_is_read(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        assert loads(text.encode()) == value
        assert with_pictures(text.encode()) == value
    assert loads(b"\xef\xbb\xbf" + json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "data", [b"", b"{", b'"', b"nul", b"\xff", b"NaN", b"[1]]", b'{"a": 1e5' + b"9" * 5000]
)
def test_what_is_no_json_is_refused(data):
    with pytest.raises(NotJson):
        loads(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"url": "%s"}' % (b"a" * json_bodies.MAX_BYTES),
        b"[" * (json_bodies.MAX_DEPTH + 1),
        b"[" * (json_bodies.MAX_DEPTH + 1) + b"]" * (json_bodies.MAX_DEPTH + 1),
        b'{"url": [' + b"[]," * 3000 + b"[]]}",
        b"[" + b"1," * 3000 + b"1]",
        b"{" + b'"a":1,' * 2000 + b'"a":1}',
    ],
    ids=["long", "deep", "deep and closed", "lists", "numbers", "names"],
)
def test_too_much_is_refused(data):
    with pytest.raises(TooMuchJson):
        loads(data)
    with pytest.raises(TooMuchJson):
        loads_with_pictures(data, most_bytes=json_bodies.MAX_BYTES, most_pictures=0)


def test_brackets_and_commas_within_strings_are_no_structure():
    text = '[{,\\"' * 1000
    assert loads(json.dumps([text]).encode()) == [text]


def test_a_picture_stays_the_bytes_that_came():
    text = base64.b64encode(PICTURE).decode()
    body = {"images": [{"name": "é", "contents": text}], "tagIds": []}
    read = with_pictures(json.dumps(body).encode())
    assert read["images"][0]["name"] == "é" and read["tagIds"] == []
    assert read["images"][0]["contents"].decode() == PICTURE


def test_a_picture_may_have_its_slashes_and_line_breaks_escaped():
    text = json.dumps(base64.encodebytes(PICTURE).decode()).replace("/", "\\/")
    assert with_pictures(f'{{"contents": {text}}}'.encode())["contents"].decode() == PICTURE


def test_a_short_picture_is_a_string():
    assert with_pictures(b'{"contents": "QUJD"}') == {"contents": "QUJD"}
    assert json_bodies.decode_base64("QUJD") == json_bodies.decode_base64("QU\r\nJD\n") == b"ABC"


@pytest.mark.parametrize("text", ["A", "Q!JD", "=", "A" * 1025, "é"])
def test_what_is_no_base64_is_refused(text):
    contents = with_pictures(json.dumps([text]).encode())[0]
    with pytest.raises(ValueError, match="base64|ascii"):
        json_bodies.decode_base64(contents) if isinstance(contents, str) else contents.decode()


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b",".join([b'"%s"' % (b"A" * 1024)] * 4) + b"]",
        b'["%s",' % (b"A" * 2000) + b'"a",' * 10_000 + b'"a"]',
        b'["a' + b"\\x" * MEGABYTE,
    ],
    ids=["pictures", "strings", "no picture"],
)
def test_a_batch_may_hold_so_many_pictures_and_little_else(data):
    with pytest.raises(TooMuchJson):
        with_pictures(data)


@pytest.mark.parametrize(
    "unit",
    [
        b"[],",
        b"{},",
        b'"a",',
        b'"\\"",',
        b"[",
        b'"',
        b"\\",
        b'"%s",' % (b"A" * 1100),
        b'"%s' % (b"A" * 1100),
    ],
)
@pytest.mark.parametrize("start", [b'{"url":[', b'{"images":[{"contents":"'])
def test_no_bytes_take_many_times_their_memory(unit, start):
    data = start + unit * (4 * MEGABYTE // len(unit))
    for load in (loads, with_pictures):
        tracemalloc.start()
        with pytest.raises((TooMuchJson, NotJson)):
            load(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < len(data) / 4
