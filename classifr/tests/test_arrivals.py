"""A request is whole at its last byte, however it comes; what nobody understands is whole, too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifr import arrivals
from classifr.arrivals import Arrival

LONGEST = 1_000_000
HEAD = b"POST /x HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = {
    "no body": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "empty body": HEAD + b"Content-Length: 0\r\n\r\n",
    "length": HEAD + b"content-length:  5\r\n\r\nabcde",
    "line breaks in the body": HEAD + b"Content-Length: 8\r\n\r\n\r\n\r\n\r\n\r\n",
    "chunks": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n1f\r\n"
    + b"x" * 31
    + b"\r\n0\r\n\r\n",
    "extension": HEAD
    + b'Transfer-Encoding: gzip, Chunked\r\n\r\nA; name="value"\r\n0123456789\r\n0\r\n\r\n',
    "trailer": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: abc\r\nMore: 1\r\n\r\n",
}


def arrive(*pieces: bytes) -> Arrival:
    arrival = Arrival(LONGEST)
    for piece in pieces:
        arrival.feed(piece)
    return arrival


def kept(arrival: Arrival) -> bytes:
    return arrival.spool.read_at(0, LONGEST)


@pytest.mark.parametrize("request_", WHOLE.values(), ids=list(WHOLE))
def test_it_is_whole_at_its_last_byte_and_not_before(request_):
    arrival = Arrival(LONGEST)
    for place in range(len(request_)):
        assert not arrival.is_whole
        arrival.feed(request_[place : place + 1])
    assert arrival.is_whole
    assert kept(arrival) == request_


@given(st.sampled_from(list(WHOLE.values())), st.binary(max_size=40), st.lists(st.integers(0, 200)))
def test_what_follows_is_the_next_one(request_, following, cuts):
    everything = request_ + following
    places = sorted({0, len(everything), *(cut for cut in cuts if cut < len(everything))})
    arrival, rest = Arrival(LONGEST), b""
    for start, end in zip(places, places[1:], strict=False):
        if arrival.is_whole:
            rest += everything[start:end]
        else:
            arrival.feed(everything[start:end])
            rest = arrival.rest
    assert (kept(arrival), rest) == (request_, following)


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: x\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 1\r\nContent-Length: 2\r\n",
        b"Content-Length: 1" + b"0" * 30 + b"\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
    ],
)
def test_a_length_that_cannot_be_told_is_left_to_the_parser(lines):
    assert arrive(HEAD + lines + b"\r\n").is_whole


@pytest.mark.parametrize(
    "chunk", [b"g\r\n", b"-1\r\n", b"0x5\r\n", b"\r\n", b"1" * 16 + b"\r\n", b"1" * 20_000]
)
def test_chunks_that_are_none_are_left_to_the_parser(chunk):
    assert arrive(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk).is_whole


@pytest.mark.parametrize(
    ("pieces", "refusal"),
    [
        ([b"x" * 70_000], "431"),
        ([b"x"] * 70_000, "431"),
        ([HEAD + b"X: " + b"x" * 70_000 + b"\r\n\r\n"], "431"),
        ([HEAD + b"Content-Length: 1000001\r\n\r\n"], "413"),
        (
            [
                HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
                *[b"fff\r\n" + b"x" * 4095 + b"\r\n"] * 300,
            ],
            "413",
        ),
    ],
)
def test_what_is_too_long_is_refused_before_it_is_there(pieces, refusal):
    arrival = Arrival(LONGEST)
    for piece in pieces:
        arrival.feed(piece)
        if arrival.refusal:
            break
    assert arrival.refusal.startswith(refusal)
    assert not arrival.is_whole


def test_a_long_one_waits_on_the_disk(monkeypatch):
    monkeypatch.setattr(arrivals, "IN_MEMORY_BYTES", 1000)
    short = arrive(HEAD + b"Content-Length: 10\r\n\r\n" + b"x" * 10)
    long = arrive(HEAD + b"Content-Length: 5000\r\n\r\n", *[b"x" * 500] * 10)
    assert (short.spool.is_on_disk, long.spool.is_on_disk) == (False, True)
    assert kept(long).endswith(b"\r\n\r\n" + b"x" * 5000)


def test_a_full_disk_is_told(monkeypatch):
    def full() -> None:
        raise OSError(28, "No space left on device")

    arrival = arrive(HEAD + b"Content-Length: 10\r\n\r\n")
    monkeypatch.setattr(arrival.spool._file, "rollover", full)
    arrival.move_to_disk()
    assert arrival.refusal == "503 Service Unavailable"
